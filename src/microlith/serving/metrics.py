"""What Prometheus may ask: counts, times, confidence and cost of every task that is served.

Labels are bounded: a task that is not served counts as `other`, and so does any stage or reason that the code does not
know. Each server has its own registry.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import get_args

from microlith import errors
from microlith.errors import MissingExtra
from microlith.routing.route import Hop, Reason, Routed
from microlith.serving.desk import Served

try:
    from prometheus_client import (
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        ProcessCollector,
        generate_latest,
    )
    from prometheus_client.metrics_core import Metric
except ImportError as error:
    raise MissingExtra("/metrics needs prometheus-client", mend='pip install "microlith[serve]"') from error

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of `Metrics.text`."""
OTHER = "other"
"""Label of everything that is not known."""
STAGES = frozenset({"rules", "specialist", "general", "nearest"})
REASONS: frozenset[str] = frozenset(get_args(Reason))
UNASKED: Reason = "open circuit"
"""Why a stage was not even asked, so that its time says nothing."""
FAULTS = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
"""Upper bounds of the buckets for times with a model in them."""
OVERHEAD_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
"""Upper bounds of the buckets for confidence."""


class Metrics:
    """The metrics of one server. Used from one event loop."""

    def __init__(self) -> None:
        """Begin with nothing served: call `update` before the first request."""
        self._registry = _Registry()
        self._tasks: frozenset[str] = frozenset()
        self._budgets: dict[str, float] = {}
        self._given: Counts[str] = Counts()
        self._doubt: defaultdict[str, float] = defaultdict(float)
        self._make_counters()
        self._make_histograms()
        self._make_gauges()
        ProcessCollector(registry=self._registry)

    def _make_counters(self) -> None:
        counter = partial(Counter, registry=self._registry)
        self._requests = counter(
            "microlith_requests",
            "Requests, by the stage that answered and what became of them: answered, fallback, refused or an error.",
            ["task", "route_stage", "status"],
        )
        self._hops_left = counter(
            "microlith_hops_left",
            "Stages that gave no answer that could be given, and why.",
            ["task", "stage", "reason"],
        )
        self._tokens = counter(
            "microlith_tokens", "Tokens read (in) and written (out) by models.", ["task", "direction"]
        )
        self._cost = counter(
            "microlith_cost", "Money spent on models, in the currency of the configured prices.", ["task"]
        )

    def _make_histograms(self) -> None:
        histogram = partial(Histogram, registry=self._registry)
        self._request_seconds = histogram(
            "microlith_request_seconds",
            "From a request's arrival at the route to its answer.",
            ["task"],
            buckets=SECONDS,
        )
        self._stage_seconds = histogram(
            "microlith_stage_seconds", "Time that a stage took.", ["task", "stage"], buckets=SECONDS
        )
        self._overhead = histogram(
            "microlith_overhead_seconds",
            "Time of a request that was not spent in a model.",
            buckets=OVERHEAD_SECONDS,
        )
        self._confidence = histogram(
            "microlith_confidence",
            "Stated probability that an answer is right; refusals are left out.",
            ["task"],
            buckets=SHARES,
        )

    def _make_gauges(self) -> None:
        gauge = partial(Gauge, registry=self._registry)
        self._budget_burnt = gauge(
            "microlith_budget_burnt",
            "Wrong answers of the specialist to be expected by its confidence, divided by those that the error budget allows.",
            ["task"],
        )
        self._threshold = gauge(
            "microlith_threshold",
            "Confidence below which the specialist is not believed; absent where there is none.",
            ["task"],
        )
        self._queue = gauge("microlith_queue", "Requests that are being answered or wait for it.")
        self._model = gauge(
            "microlith_model_info", "1 for the specialist that answers at this moment.", ["task", "model"]
        )

    def update(self, served: Iterable[Served]) -> None:
        """Show these tasks, their models and thresholds; call it again after every swap."""
        for gauge in (self._model, self._threshold, self._budget_burnt):
            gauge.clear()
        shown = tuple(served)
        self._tasks = frozenset(one.task.name for one in shown)
        self._budgets = {one.task.name: one.task.error_budget for one in shown}
        for one in shown:
            self._budget_burnt.labels(one.task.name).set_function(partial(self._burnt, one.task.name))
            if one.model is not None:
                self._model.labels(one.task.name, one.model).set(1)
            if one.threshold is not None:
                self._threshold.labels(one.task.name).set(one.threshold)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Take the length of the queue from `waiting` whenever it is asked for."""
        self._queue.set_function(waiting)

    def _burnt(self, task: str) -> float:
        """1 and more: the budget is not kept, if the confidence is right. Nothing is answered yet: 0."""
        given, budget = self._given[task], self._budgets.get(task, 0.0)
        return self._doubt[task] / (given * budget) if given and budget else 0.0

    def observe(self, routed: Routed) -> None:
        """Count one request that came to an answer or a refusal."""
        task, answered = self._known(routed.task), routed.stage is not None
        status = "refused" if not answered else "fallback" if routed.is_fallback else "answered"
        self._requests.labels(task, _stage(routed.stage) if routed.stage else "none", status).inc()
        self._request_seconds.labels(task).observe(routed.latency_ms / 1000)
        self._overhead.observe(max(0.0, routed.latency_ms - routed.model_ms) / 1000)
        if routed.stage == "specialist":
            self._given[task] += 1
            self._doubt[task] += 1.0 - routed.prediction.confidence
        if answered:
            self._confidence.labels(task).observe(routed.prediction.confidence)
        for hop in routed.hops:
            self._observe_hop(task, hop)

    def _observe_hop(self, task: str, hop: Hop) -> None:
        stage = _stage(hop.stage)
        if hop.left is not None:
            self._hops_left.labels(task, stage, hop.left if hop.left in REASONS else OTHER).inc()
        if hop.left != UNASKED:
            self._stage_seconds.labels(task, stage).observe(hop.latency_ms / 1000)
        self._tokens.labels(task, "in").inc(hop.tokens_in)
        self._tokens.labels(task, "out").inc(hop.tokens_out)
        self._cost.labels(task).inc(hop.cost)

    def observe_error(self, task: str | None, error: Exception) -> None:
        """Count one request that ended in an error; None for a request that named no task."""
        kind = type(error).__name__
        self._requests.labels(self._known(task), "none", kind if kind in FAULTS else OTHER).inc()

    def _known(self, task: str | None) -> str:
        return task if task in self._tasks else OTHER

    def text(self) -> bytes:
        """Everything, in Prometheus' text format; see `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class _Registry(CollectorRegistry):
    """Leaves out when each counter was made, which would double the number of lines and which nobody asks for."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


def _stage(name: str) -> str:
    return name if name in STAGES else OTHER
