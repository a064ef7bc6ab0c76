from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import UsageError
from microlith.evaluation.answering import WARM_UP, answer_all, latency_of, memory_of, time_singles
from microlith.inference.protocol import Prediction


def ticking(step: float = 1.0) -> Any:
    ticks = count()
    return lambda: next(ticks) * step


class Broken:
    """Gives back whatever it is told, whatever was asked."""

    name = "broken"

    def __init__(self, answers: Any) -> None:
        self.answers = answers

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        return self.answers  # type: ignore[no-any-return]


def test_a_faulty_request_does_not_take_its_batch_along(scripted: Any) -> None:
    model = scripted({"a": {"x": 1}, "b": ValueError("bad b"), "c": {"x": 3}})
    answers, _ = answer_all(model, ["a", "b", "c"], batch_size=3, clock=ticking())
    assert [one.error for one in answers] == [None, "ValueError: bad b", None]


def test_requests_go_out_in_batches_in_their_order(scripted: Any) -> None:
    model = scripted({key: {"x": 1} for key in "abcde"})
    answer_all(model, list("abcde"), batch_size=2, clock=ticking())
    assert model.calls[WARM_UP:] == [["a", "b"], ["c", "d"], ["e"]]


def test_the_clock_runs_only_after_the_warm_up(scripted: Any) -> None:
    _, seconds = answer_all(scripted({"a": {"x": 1}}), ["a"], batch_size=1, clock=ticking(2.0))
    assert seconds == 2.0


@pytest.mark.parametrize(
    ("answers", "message"),
    [([], "0 predictions came back for 1 requests"), (None, "TypeError"), (["text"], "AttributeError")],
)
def test_a_broken_contract_is_a_failure(answers: Any, message: str) -> None:
    found, _ = answer_all(Broken(answers), ["a"], batch_size=4, clock=ticking())
    assert found[0].prediction is None
    assert message in str(found[0].error)


@pytest.mark.parametrize("confidence", [float("nan"), 1.2, -0.1])
def test_a_confidence_that_is_no_probability_is_a_failure(scripted: Any, confidence: float) -> None:
    found, _ = answer_all(scripted({"a": ({"x": 1}, confidence)}), ["a"], batch_size=1, clock=ticking())
    assert "no probability" in str(found[0].error)


def test_a_batch_holds_at_least_one(scripted: Any) -> None:
    with pytest.raises(UsageError, match="batch_size is 0"):
        answer_all(scripted({}), ["a"], batch_size=0, clock=ticking())


@pytest.mark.parametrize(("rows", "timed"), [(3, [0, 2, 5]), (0, []), (99, [0, 1, 2, 3, 4, 5])])
def test_single_requests_are_spread_over_all(scripted: Any, rows: int, timed: list[int]) -> None:
    times = time_singles(
        scripted({key: {"x": 1} for key in "abcdef"}), list("abcdef"), rows=rows, clock=ticking(0.005)
    )
    assert list(times) == timed
    assert all(value == pytest.approx(5.0) for value in times.values())


def test_percentiles_by_hand() -> None:
    latency = latency_of([float(value) for value in range(1, 102)])
    assert latency is not None
    assert (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms, latency.mean_ms) == (
        51,
        96,
        100,
        101,
        51,
    )


def test_nothing_timed_is_not_scored() -> None:
    assert latency_of([]) is None


def test_memory_is_read_in_bytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1000 kB\n")
    assert memory_of(status) == (1_024_000, 2_097_152)


def test_where_the_system_does_not_tell_only_the_peak_is_known(tmp_path: Path) -> None:
    now, peak = memory_of(tmp_path / "absent")
    assert now is None
    assert peak is None or peak > 1_000_000
