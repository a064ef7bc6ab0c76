"""Spans for OpenTelemetry: one a request, one a hop below it.

They are made through OpenTelemetry's API alone, which does nothing until an SDK is set up, for example by
`opentelemetry-instrument microlith serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_tracer, set_span_in_context

from microlith.routing.route import Hop, Routed
from microlith.serving.desk import Served

NS_PER_MS = 1_000_000


class Spans:
    """Makes the spans of requests that were answered; see `microlith.serving.live.Watcher`."""

    def __init__(self, tracer: Tracer | None = None, *, now_ns: Callable[[], int] = time_ns) -> None:
        """Spans of `tracer`; None takes the one that is set up for the process. `now_ns` gives nanoseconds since 1970."""
        self._tracer, self._now_ns = tracer or get_tracer("microlith"), now_ns

    def observe(self, routed: Routed) -> None:
        """Make the spans of one request: it ends now and began as long ago as it took. They hold no text of it."""
        end = self._now_ns()
        begin = end - int(routed.latency_ms * NS_PER_MS)
        span = self._tracer.start_span(
            f"answer {routed.task}", kind=SpanKind.INTERNAL, start_time=begin,
            attributes={
                "microlith.task": routed.task, "microlith.trace_id": routed.trace_id, "microlith.stage": routed.stage or "none",
                "microlith.model": routed.prediction.model, "microlith.confidence": routed.prediction.confidence,
            },
        )  # fmt: skip
        moment = begin
        for hop in routed.hops:
            moment = self._hop(hop, moment, set_span_in_context(span))
        span.end(end)

    def _hop(self, hop: Hop, begin: int, context: Context) -> int:
        """The span of one hop; gives its end."""
        end = begin + int(hop.latency_ms * NS_PER_MS)
        span = self._tracer.start_span(
            f"ask {hop.stage}", context=context, kind=SpanKind.CLIENT if hop.stage == "general" else SpanKind.INTERNAL,
            start_time=begin,
            attributes={
                "microlith.stage": hop.stage, "microlith.model": hop.model, "microlith.left": hop.left or "",
                "gen_ai.usage.input_tokens": hop.tokens_in, "gen_ai.usage.output_tokens": hop.tokens_out,
            },
        )  # fmt: skip
        if hop.left in ("error", "timeout"):
            span.set_status(Status(StatusCode.ERROR, hop.left))
        span.end(end)
        return end

    def observe_error(self, task: str | None, error: Exception) -> None:
        """Make a span of one that ended in an error; its words, which may quote the request, are left out."""
        now = self._now_ns()
        span = self._tracer.start_span("answer", start_time=now, attributes={"microlith.task": task or ""})
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end(now)

    def update(self, served: Iterable[Served]) -> None:
        """Nothing follows from what is served."""
