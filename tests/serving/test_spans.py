from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from microlith.errors import StorageError
from microlith.inference.protocol import Prediction
from microlith.routing.route import Hop, Routed
from microlith.serving.spans import NS_PER_MS, Spans

GIVEN = Prediction(output={"a": "hunter2"}, confidence=0.9, fields=(), model="big", latency_ms=30.0)
HOPS = (
    Hop(stage="specialist", model="infra@3", latency_ms=5.0, left="low confidence", confidence=0.4),
    Hop(stage="general", model="down", latency_ms=20.0, left="timeout"),
    Hop(stage="general", model="big", latency_ms=4.0, tokens_in=11, tokens_out=7),
)
ROUTED = Routed(
    trace_id="t1", task="infra", request="set pw hunter2", prediction=GIVEN, hops=HOPS, latency_ms=30.0
)


def made(routed: Routed | None) -> tuple[InMemorySpanExporter, Spans]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider.get_tracer("test"), now_ns=lambda: 1_000 * NS_PER_MS)
    if routed is not None:
        spans.observe(routed)
    return exporter, spans


def test_a_request_is_a_span_with_one_below_it_for_every_hop() -> None:
    *hops, whole = made(ROUTED)[0].get_finished_spans()
    assert [one.name for one in hops] == ["ask specialist", "ask general", "ask general"]
    assert {one.parent.span_id for one in hops if one.parent} == {
        whole.context.span_id if whole.context else 0
    }
    assert (whole.start_time, whole.end_time) == (970 * NS_PER_MS, 1_000 * NS_PER_MS)
    assert (hops[1].start_time, hops[1].end_time) == (975 * NS_PER_MS, 995 * NS_PER_MS)
    assert whole.attributes is not None
    assert (whole.attributes["microlith.trace_id"], whole.attributes["microlith.stage"]) == ("t1", "general")
    assert hops[2].attributes is not None
    assert hops[2].attributes["gen_ai.usage.input_tokens"] == 11
    assert [one.status.is_ok for one in hops] == [True, False, True]


def test_nothing_that_a_caller_said_stands_in_a_span() -> None:
    exporter, spans = made(ROUTED)
    spans.observe_error("infra", StorageError("hunter2 is not kept"))
    told = "".join(one.to_json() for one in exporter.get_finished_spans())
    assert "StorageError" in told
    assert "hunter2" not in told


def test_without_an_sdk_nothing_happens() -> None:
    Spans().observe(ROUTED)
