"""What an evaluation found: plain values that turn into JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from microlith.errors import DataError
from microlith.evaluation.intervals import Difference, Mean, Share
from microlith.evaluation.measures import Calibration, RiskCoverage
from microlith.task.plan import Json


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one example. Holds no text of the request, so no secret."""

    key: str
    """`Example.key`, by which two evaluations are paired."""
    right: bool
    """The whole answer equals the expected one as JSON."""
    answered: bool
    """False for a refusal or a failure."""
    valid: bool
    """The answer fits the task's schema; False when there is none."""
    confidence: float
    """Of the whole answer, 0-1; 0 when there is none."""
    expected: str | None
    """Label of the leading choice; None where the plan has none."""
    got: str | None
    """Label of the leading choice in the answer; None where there is no answer or no such value."""
    rouge_l: float | None = None
    """ROUGE-L of the answer's texts, 0-1; 0 without a valid answer, None where the plan writes no text."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Does the model know what is not its business? None in `Evaluation` when the plan has no such option."""

    recall: Share
    """Of the out-of-scope requests, those answered as out of scope. A refusal does not count."""
    false_alarms: Share
    """Of the in-scope requests, those answered as out of scope."""
    in_scope_exact: Share
    """Of the in-scope requests, those answered exactly."""


@dataclass(frozen=True, kw_only=True)
class DecisionScore:
    """How often one decision is right, over the examples to which it applies."""

    path: str
    """Path in the answer; `(answer)` for the number of steps."""
    kind: Literal["choice", "presence", "span", "count", "number", "text"]
    right: Share
    """Count and Presence: over every object that has the slot. Values: over those where one is expected."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """How good the free text of answers is. Only of valid answers is it known how they are written."""

    n: int
    """Requests; one without a valid answer scores 0 in `rouge_l` and agrees in nothing."""
    rouge_l: Mean
    """ROUGE-L F-measure of an answer's texts against those of the right answer, 0-1 (Lin 2004)."""
    repetition: float | None
    """Mean share of an answer's word trigrams that stood before in the same answer; None without a valid answer."""
    words: float | None
    """Mean words of an answer's texts; None without a valid answer."""
    distinct: float | None
    """Different texts of all texts written, 0-1: near 0 for a model that tells everybody the same; None for no text."""
    agreement: Share
    """Of the computed values and single choices of the right answers, those that the answers hold too."""
    reference_repetition: float
    """`repetition` of the right answers, for comparison."""
    reference_words: float
    reference_distinct: float | None


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """Answers to the same requests, decoded in one way; shares are of all requests."""

    json: Share
    """Answers that are JSON at all."""
    valid: Share
    """Answers that fit the schema."""
    wrong_but_valid: Share
    exact: Share | None
    """None where the plan writes text, for which see `rouge_l`."""
    rouge_l: Mean | None
    """None where the plan writes no text."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What holding a language model to the plan gains and costs: the same model with and without it."""

    n: int
    """Requests that were answered both ways."""
    constrained: Spoken
    free: Spoken
    json: Difference
    """Constrained minus free, as all of these."""
    valid: Difference
    wrong_but_valid: Difference
    exact: Difference | None
    rouge_l: Difference | None


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """Exactness of a part of the examples."""

    by: Literal["group", "label", "length"]
    """`Example.group`, the expected leading choice, or the request's length in characters."""
    name: str
    exact: Share
    confidence: float | None
    """Mean confidence of the answered ones; None when none was."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Examples of one expected label that got one label."""

    expected: str
    got: str | None
    """None where there is no answer."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Confusion matrix of the leading choice, as its non-zero cells."""

    path: str
    labels: tuple[str, ...]
    """Every label that is expected or got, the plan's options first in their order."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Wall-clock time of single requests, one at a time, in milliseconds."""

    n: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Time and space."""

    latency: Latency | None
    """None when no single request was timed."""
    batch_size: int
    rows_per_s: float | None
    """Throughput in batches; None when the clock did not move."""
    rss_bytes: int | None
    """Resident memory of the evaluating process after the run, everything in it included; None where unknown."""
    peak_bytes: int | None
    artifact_bytes: int | None
    """Size of the model's files; None when not given."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request worth looking at, secrets masked."""

    input: str
    """The request, shortened to 400 characters."""
    expected: Json
    got: Json
    """None where there is no answer."""
    confidence: float | None
    right: bool
    latency_ms: float | None
    """Time of the single request; None when it was not timed alone."""
    note: str | None
    """Why there is no answer, or what the schema finds wrong; None when nothing."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that was measured of one model on one set of examples."""

    task: str
    model: str
    n: int
    exact: Share
    valid: Share
    """Answers that fit the schema, of all requests."""
    wrong_but_valid: Share
    """Answers that fit the schema and are wrong, of all requests."""
    refused: Share
    failed: Share
    """Requests on which the model raised or broke its contract."""
    scope: Scope | None
    decisions: tuple[DecisionScore, ...]
    confidence_right: float | None
    """Mean confidence of right answers; None when there is none."""
    confidence_wrong: float | None
    """Mean confidence of wrong answers, refusals left out; None when there is none."""
    calibration: Calibration
    """Of whole answers."""
    field_calibration: Calibration
    """Of the single fields that the model reported."""
    risk: RiskCoverage
    groups: tuple[GroupScore, ...]
    confusion: Confusion | None
    speed: Speed
    worst: tuple[Case, ...]
    """Wrong answers, the most confident first."""
    slowest: tuple[Case, ...]
    failures: tuple[Case, ...]
    outcomes: tuple[Outcome, ...]
    """One an example, in order."""
    texts: Texts | None = None
    """None where the plan writes no text."""
    constraint: Constraint | None = None
    """None where the model cannot speak freely."""

    def to_json(self) -> dict[str, Any]:
        """The evaluation as a JSON object."""
        return dict(plain(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read what `to_json` wrote.

        Raises:
            DataError: naming every key that is missing or has a wrong value.
        """
        from pydantic import TypeAdapter, ValidationError

        from microlith.errors import Problem

        try:
            return TypeAdapter(cls).validate_python(data)
        except ValidationError as error:
            problems = [
                Problem(what=item["msg"], place="#/" + "/".join(map(str, item["loc"])))
                for item in error.errors()
            ]
            raise DataError("this is no evaluation that Microlith wrote", problems=problems) from error


def plain(value: Any) -> Json:
    """A dataclass, and all that is in it, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value
