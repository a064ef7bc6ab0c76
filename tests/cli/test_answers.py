"""A prediction as a person reads it."""

from __future__ import annotations

import pytest

from microlith.cli.answers import bar, marked, show_answer
from microlith.inference.protocol import FieldPrediction, Prediction

REQUEST = "add\tapi.local 👋\nnow"


def prediction(**changes: object) -> Prediction:
    values: dict[str, object] = {
        "output": {"action": "dns_add", "zone": "api.local"}, "confidence": 0.93, "model": "infra@1", "latency_ms": 1.84,
        "fields": (
            FieldPrediction(path="action", value="dns_add", confidence=0.99),
            FieldPrediction(path="zone", value="api.local", confidence=0.5, span=(4, 13)),
        ),
    }  # fmt: skip
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def test_the_request_keeps_its_length_and_copied_values_are_underlined() -> None:
    text = marked(REQUEST, prediction())
    assert text.plain == "> add·api.local 👋⏎now"
    (span,) = text.spans
    assert text.plain[span.start : span.end] == "api.local"
    assert "underline" in str(span.style)


def test_a_megabyte_is_not_poured_into_the_terminal() -> None:
    text = marked("x" * 1_000_000, prediction(fields=()))
    assert len(text.plain) < 2100
    assert text.plain.endswith("(1,000,000 characters)")


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (1.0, "████████████████"), (0.5, "████████"), (2.0, "████████████████"), (-1.0, "")],
)
def test_bar(share: float, drawn: str) -> None:
    assert bar(share).plain.rstrip() == drawn
    assert len(bar(share).plain) == 16


def test_an_answer_shows_json_fields_confidence_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer(REQUEST, prediction())
    shown = capsys.readouterr().out
    assert '"zone": "api.local"' in shown
    assert "50.0%" in shown
    assert "4-13" in shown
    assert "93.0% sure of the whole  ·  1.8 ms  ·  infra@1" in shown


def test_a_refusal_shows_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer("", prediction(output=None, fields=(), confidence=0.0, refusal="the request is empty"))
    assert "no answer: the request is empty" in capsys.readouterr().out
