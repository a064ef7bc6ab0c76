"""Metrics: what is counted, that labels are bounded, and that a real Prometheus reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

from microlith.errors import Overloaded, StorageError
from microlith.inference.protocol import Prediction
from microlith.routing.route import Hop, Routed
from microlith.serving.desk import Served
from microlith.serving.metrics import CONTENT_TYPE, REASONS, Metrics
from tests.serving.running import ScriptedDesk, serving

TASK = "cli-intent"


def served(**changes: Any) -> tuple[Served, ...]:
    one = ScriptedDesk({TASK: {}}).find(TASK)
    return (Served(**(vars(one) | changes)),)


@pytest.fixture(scope="module")
def known() -> tuple[Served, ...]:
    return served()


@pytest.fixture
def metrics(known: tuple[Served, ...]) -> Metrics:
    made = Metrics()
    made.update(known)
    return made


def hop(stage: str, left: Any = None, **changes: Any) -> Hop:
    return Hop(**({"stage": stage, "model": f"{stage} model", "latency_ms": 4.0, "left": left} | changes))


def routed(*hops: Hop, task: str = TASK, confidence: float = 0.97, **changes: Any) -> Routed:
    output = {"type": "command"} if hops and hops[-1].left is None else None
    prediction = Prediction(output=output, confidence=confidence, fields=(), model="m", latency_ms=4.0)
    values = {
        "trace_id": "t",
        "task": task,
        "request": "x",
        "prediction": prediction,
        "hops": hops,
        "latency_ms": 5.5,
    }
    return Routed(**(values | {"model_ms": 4.0} | changes))


Samples = dict[str, float]


def samples(metrics: Metrics) -> Samples:
    """`name{label="value",...}` -> value."""
    lines = metrics.text().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize(
    ("hops", "labels"),
    [
        ((hop("specialist"),), 'route_stage="specialist",status="answered"'),
        ((hop("specialist", "low confidence"), hop("general")), 'route_stage="general",status="fallback"'),
        ((hop("specialist", "no answer"),), 'route_stage="none",status="refused"'),
        ((), 'route_stage="none",status="refused"'),
    ],
)
def test_a_request_counts_by_what_became_of_it(hops: tuple[Hop, ...], labels: str, metrics: Metrics) -> None:
    metrics.observe(routed(*hops))
    assert samples(metrics)[f'microlith_requests_total{{{labels},task="{TASK}"}}'] == 1


def test_times_are_in_seconds_and_overhead_is_what_no_model_took(metrics: Metrics) -> None:
    metrics.observe(routed(hop("rules", "no answer", latency_ms=0.5), hop("specialist")))
    found = samples(metrics)
    assert found[f'microlith_request_seconds_sum{{task="{TASK}"}}'] == pytest.approx(0.0055)
    assert found[f'microlith_stage_seconds_sum{{stage="specialist",task="{TASK}"}}'] == pytest.approx(0.004)
    assert found["microlith_overhead_seconds_sum"] == pytest.approx(0.0015)
    assert found[f'microlith_request_seconds_bucket{{le="0.005",task="{TASK}"}}'] == 0
    assert found[f'microlith_request_seconds_bucket{{le="0.01",task="{TASK}"}}'] == 1


def test_a_stage_that_was_not_asked_has_no_time(metrics: Metrics) -> None:
    metrics.observe(routed(hop("general", "open circuit", latency_ms=0.0), hop("rules")))
    found = samples(metrics)
    assert found[f'microlith_hops_left_total{{reason="open circuit",stage="general",task="{TASK}"}}'] == 1
    assert not any(name.startswith("microlith_stage_seconds_count") and "general" in name for name in found)


def test_tokens_and_money_are_those_of_every_stage(metrics: Metrics) -> None:
    metrics.observe(
        routed(
            hop("general", "not valid", tokens_in=10, tokens_out=5, cost=0.25),
            hop("general", tokens_in=12, tokens_out=7, cost=0.5),
        )
    )
    found = samples(metrics)
    assert found[f'microlith_tokens_total{{direction="in",task="{TASK}"}}'] == 22
    assert found[f'microlith_tokens_total{{direction="out",task="{TASK}"}}'] == 12
    assert found[f'microlith_cost_total{{task="{TASK}"}}'] == 0.75


def test_a_refusal_says_nothing_about_confidence(metrics: Metrics) -> None:
    metrics.observe(routed(hop("specialist"), confidence=0.97))
    metrics.observe(routed(hop("specialist", "no answer"), confidence=0.0))
    found = samples(metrics)
    assert found[f'microlith_confidence_count{{task="{TASK}"}}'] == 1
    assert found[f'microlith_confidence_bucket{{le="0.95",task="{TASK}"}}'] == 0


def test_labels_are_bounded_whatever_is_asked(metrics: Metrics) -> None:
    for number in range(50):
        odd: Any = f"odd {number}"
        metrics.observe(routed(hop(odd, odd), hop(odd), task=odd))
        metrics.observe_error(odd, type(f"Odd{number}", (Exception,), {})())
    found = samples(metrics)
    assert not any("odd" in name.lower() for name in found)
    assert found['microlith_requests_total{route_stage="other",status="fallback",task="other"}'] == 50
    assert found['microlith_requests_total{route_stage="none",status="other",task="other"}'] == 50


def test_errors_count_by_their_kind(metrics: Metrics) -> None:
    metrics.observe_error(TASK, Overloaded("busy", retry_after_s=1))
    metrics.observe_error(None, StorageError("full"))
    found = samples(metrics)
    assert found[f'microlith_requests_total{{route_stage="none",status="Overloaded",task="{TASK}"}}'] == 1
    assert found['microlith_requests_total{route_stage="none",status="StorageError",task="other"}'] == 1


def test_a_swap_shows_the_new_model_alone(metrics: Metrics) -> None:
    assert samples(metrics)[f'microlith_model_info{{model="{TASK}@3",task="{TASK}"}}'] == 1
    assert samples(metrics)[f'microlith_threshold{{task="{TASK}"}}'] == 0.9
    metrics.update(served(model=f"{TASK}@4", threshold=None))
    found = samples(metrics)
    assert [name for name in found if "model_info" in name] == [
        f'microlith_model_info{{model="{TASK}@4",task="{TASK}"}}'
    ]
    assert not any("microlith_threshold" in name for name in found)
    metrics.update(())
    assert not any("model_info" in name or "budget" in name for name in samples(metrics))


def test_the_queue_is_asked_for_when_it_is_read(metrics: Metrics) -> None:
    assert samples(metrics)["microlith_queue"] == 0
    metrics.watch_queue(lambda: 7)
    assert samples(metrics)["microlith_queue"] == 7


def test_the_budget_burns_with_the_doubt_of_the_specialist(known: tuple[Served, ...]) -> None:
    metrics = Metrics()
    metrics.update(served(task=replace(known[0].task, error_budget=0.05)))
    burnt = f'microlith_budget_burnt{{task="{TASK}"}}'
    assert samples(metrics)[burnt] == 0
    for confidence in (0.99, 0.97):
        metrics.observe(routed(hop("specialist"), confidence=confidence))
    assert samples(metrics)[burnt] == pytest.approx((0.01 + 0.03) / 2 / 0.05)
    metrics.observe(routed(hop("specialist", "low confidence"), hop("general"), confidence=0.5))
    metrics.observe(routed(hop("specialist", "low confidence"), confidence=0.0))
    assert samples(metrics)[burnt] == pytest.approx(0.4)  # what others answer is not held to the budget


def test_two_servers_in_one_process_do_not_share_counts(known: tuple[Served, ...]) -> None:
    first, second = Metrics(), Metrics()
    first.update(known)
    second.update(known)
    first.observe(routed(hop("specialist")))
    assert not any("requests_total" in name for name in samples(second))


def test_nothing_is_said_of_when_a_count_began(metrics: Metrics) -> None:
    assert not any("_created" in name for name in samples(busy(metrics)))


def test_every_reason_of_a_route_has_a_label() -> None:
    assert {"error", "timeout", "low confidence", "open circuit"} <= REASONS


def busy(metrics: Metrics) -> Metrics:
    metrics.observe(routed(hop("specialist")))
    metrics.observe(routed(hop("specialist", "low confidence"), hop("general", tokens_in=3, cost=0.01)))
    return metrics


def test_promtool_finds_nothing_to_complain_of(metrics: Metrics) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the PATH; Debian's package prometheus has it")
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=busy(metrics).text(), capture_output=True, timeout=30, check=False
    )  # fmt: skip
    assert (found.returncode, found.stderr.decode()) == (0, "")


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A real Prometheus that reads `target` four times a second; gives its address."""
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\n"
        f"scrape_configs: [{{job_name: microlith, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield until(lambda: listening(folder / "log"), "Prometheus to listen")
    finally:
        process.terminate()
        process.wait(20)


def listening(log: Path) -> str | None:
    found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', log.read_text())
    return f"http://{found[1]}" if found else None


def until(ask: Callable[[], Any], what: str) -> Any:
    """What `ask` gives once it gives something; asked again and again for 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"waited too long for {what}")


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not on the PATH; Debian has it")
def test_a_real_prometheus_reads_and_answers_queries(metrics: Metrics, tmp_path: Path) -> None:
    app = FastAPI()

    @app.get("/metrics")
    async def text() -> Response:
        return Response(busy(metrics).text(), media_type=CONTENT_TYPE)

    def ask(base: str, query: str) -> list[Any]:
        try:
            answer = httpx.get(f"{base}/api/v1/query", params={"query": query})
        except httpx.TransportError:
            return []
        return answer.json()["data"]["result"] if answer.status_code == 200 else []

    with serving(app) as target, prometheus(tmp_path, target.removeprefix("http://")) as base:
        rows = until(
            lambda: ask(base, 'sum by (status) (microlith_requests_total{task="cli-intent"}) > 1'),
            "counts that rise",
        )
        assert {row["metric"]["status"] for row in rows} <= {"answered", "fallback"}
        assert ask(base, "up")[0]["value"][1] == "1"
        [info] = ask(base, "microlith_model_info")
        assert info["metric"]["model"] == "cli-intent@3"
        share = "histogram_quantile(0.9, sum by (le) (microlith_request_seconds_bucket))"
        assert 0.005 <= float(ask(base, share)[0]["value"][1]) <= 0.01
