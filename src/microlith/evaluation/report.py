"""The HTML report: one self-contained page for one or several models. It asks nothing of any server and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from microlith.errors import UsageError
from microlith.evaluation import wording as say
from microlith.evaluation.compare import Comparison, Spread
from microlith.evaluation.drawings import Events, confidence_panel, confusion_panel, training_panel
from microlith.evaluation.figures import names_of
from microlith.evaluation.markup import Html, folded, safe, section, table
from microlith.evaluation.panels import (
    cards,
    comparison_panel,
    constraint_panel,
    decisions_panel,
    groups_panel,
    models_panel,
)
from microlith.evaluation.result import Case, Evaluation
from microlith.evaluation.style import CSS
from microlith.task.plan import Json

SLOWEST_SHOWN = 10
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load for this page: nothing."""
_TERMS = (
    ("Exact", "The whole answer equals the expected one, every value of it."),
    ("95 % interval", "Wilson's score interval: were the test repeated on other examples of the same kind, it would hold the "
     "true rate in about 95 of 100 repetitions."),
    ("Wrong but valid", "Fits the schema and is wrong: the errors that no validation catches."),
    ("Out of scope", "Requests that the task answers with “not for me”; a refusal is not counted as recognising one."),
    ("ECE", "Expected calibration error over 15 bins of equally many answers: the mean distance between how sure and how right."),
    ("AURC", "Mean error over all shares of requests answered, the most confident first; smaller is better."),
    ("Upper bound", "One-sided 95 % Clopper-Pearson bound of the error at one threshold: an error rate above it would show so few "
     "errors in only 5 of 100 repetitions. A threshold picked on these examples is best confirmed on others."),
    ("McNemar", "Asks whether the examples that only one of two models has right could be split so unevenly by chance."),
    ("Memory", "Of the whole evaluating process, all models loaded so far included."),
)  # fmt: skip
_TEXT_TERMS = (
    ("ROUGE-L", "How near the words of an answer's texts are to those of the right answer: the harmonic mean of the shares of words, "
     "here and there, that lie on their longest common subsequence (Lin 2004). 100\u202f% is the same words in the same order; a request "
     "without a valid answer counts 0. The interval is a bootstrap over the examples."),
    ("Repetition", "Of three words in a row, how many stood before in the same answer."),
    ("Levels that agree", "Of the computed values and single choices of the right answers, those that the answers hold too."),
    ("Distinct texts", "Different texts of all texts written: near 0 for a model that tells everybody the same."),
)  # fmt: skip


def render_report(
    evaluations: Sequence[Evaluation],
    *,
    comparison: Comparison | None = None,
    curves: Mapping[str, Events] | None = None,
    spreads: Sequence[Spread] = (),
    facts: Mapping[str, str] | None = None,
) -> Html:
    """The report as the text of one HTML file (UTF-8).

    Args:
        evaluations: At least one, of one task; the first is the candidate, the others stand beside it.
        comparison: Paired tests of the candidate against the others; None for none.
        curves: Run name -> events of its training with `step` and `loss` or `exact`; None for none.
        spreads: Metrics over several seeds.
        facts: What else the reader should know of how this was made (time, data hash, seed), shown in order.

    Raises:
        UsageError: if there is no evaluation, or they are of different tasks.
    """
    if not evaluations:
        raise UsageError("a report needs at least one evaluation")
    tasks = {one.task for one in evaluations}
    if len(tasks) > 1:
        raise UsageError(f"a report is of one task, these are of {', '.join(sorted(tasks))}")
    first = evaluations[0]
    body = "".join(
        (
            _header(first, comparison),
            cards(first),
            models_panel(evaluations, spreads),
            comparison_panel(comparison),
            constraint_panel(evaluations),
            training_panel(curves or {}),
            confidence_panel(evaluations),
            confusion_panel(evaluations),
            decisions_panel(evaluations),
            groups_panel(evaluations),
            _cases_panel(evaluations, "worst"),
            _cases_panel(evaluations, "slowest"),
            _cases_panel(evaluations, "failures"),
            _footer(facts or {}, evaluations),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(f'{first.task}: {first.model}')}</title><style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def _header(one: Evaluation, comparison: Comparison | None) -> Html:
    lead = _lead(one)
    target = next((found for found in one.risk.targets if found.error == 0.02 and found.coverage > 0), None)
    if target is not None:
        lead += (
            f" It can answer {say.percent(target.coverage, 1)} of requests with at most 2\u202f% wrong, "
            "by a 95\u202f% upper bound."
        )
    verdicts = "".join(
        f"<li>{safe(found.verdict)}</li>" for found in (comparison.pairs if comparison else ())
    )
    return (
        f'<header><p class="eyebrow">Evaluation of task {safe(one.task)}, {one.n:,} example{"s" if one.n != 1 else ""}</p>'
        f'<h1>{safe(one.model)}</h1><p class="lead">{safe(lead)}</p>'
        f"{f'<ul class=verdicts>{verdicts}</ul>' if verdicts else ''}</header>"
    )


def _lead(one: Evaluation) -> str:
    if one.texts is None:
        return (
            f"{say.percent(one.exact.value, 1)} of answers are exactly right: {say.of(one.exact)}, "
            f"95\u202f% interval {say.interval(one.exact)}."
        )
    found, agreement = one.texts.rouge_l, one.texts.agreement
    levels = f" {say.percent(agreement.value, 1)} of levels agree." if agreement.n else ""
    return (
        f"The texts of answers score {say.percent(found.value, 1)} ROUGE-L against the right ones, "
        f"95\u202f% interval {say.interval(found)}.{levels}"
    )


# ---------------------------------------------------------------------------------------------- cases

_TITLES = {
    "worst": ("Wrong and sure of it", "Wrong answers, the most confident first."),
    "slowest": ("The slowest requests", "Single requests, one at a time."),
    "failures": ("Failures", "The model raised an error or broke its contract."),
}


def _cases_panel(evaluations: Sequence[Evaluation], kind: Literal["worst", "slowest", "failures"]) -> Html:
    title, note = _TITLES[kind]
    parts = []
    for index, (name, one) in enumerate(zip(names_of(evaluations), evaluations, strict=True)):
        cases = {"worst": one.worst, "slowest": one.slowest[:SLOWEST_SHOWN], "failures": one.failures}[kind]
        shown = _times(cases) if kind == "slowest" and cases else "".join(map(_case, cases))
        if shown:
            count = f"{len(cases)} request{'s' if len(cases) > 1 else ''}"
            parts.append(shown if index == 0 else folded(f"{safe(name)}: {count}", shown))
    return section(title, *parts, note=note)


def _times(cases: Sequence[Case]) -> Html:
    rows = [[_request(case), _verdict(case), safe(say.milliseconds(case.latency_ms))] for case in cases]
    return table(["Request", "Answer", "Time"], rows, text_columns=2)


def _verdict(case: Case) -> str:
    return "right" if case.right else "wrong" if case.confidence is not None else "no answer"


def _request(case: Case) -> Html:
    return (
        f"<bdi>{safe(case.input)}</bdi>"
        if case.input.strip()
        else '<span class="soft">(blank request)</span>'
    )


def _case(case: Case) -> Html:
    facts = []
    if case.confidence is not None:
        facts.append(f"confidence {case.confidence:.3f}")
    if case.latency_ms is not None:
        facts.append(say.milliseconds(case.latency_ms))
    facts.append(_verdict(case))
    lines = [("expected", _json(case.expected, case.expected)), ("got", _json(case.got, case.expected))]
    if case.note:
        lines.append(("note", safe(case.note)))
    listed = "".join(f"<dt>{name}</dt><dd><bdi>{value}</bdi></dd>" for name, value in lines)
    return f'<div class="case"><p>{_request(case)}</p><p class="facts">{safe(", ".join(facts))}</p><dl>{listed}</dl></div>'


def _json(value: Json, expected: Json) -> Html:
    """A value as JSON; what differs from the expected answer is marked."""
    if not isinstance(value, dict):
        return safe(say.compact(value))
    known = expected if isinstance(expected, dict) else {}
    parts = []
    for name, item in value.items():
        text = f"{safe(say.compact(name))}: {safe(say.compact(item) if item is not None else 'null')}"
        parts.append(text if name in known and known[name] == item else f"<mark>{text}</mark>")
    return f"{{{', '.join(parts)}}}"


def _footer(facts: Mapping[str, str], evaluations: Sequence[Evaluation]) -> Html:
    known = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in facts.items())
    made = f"<h3>How this was made</h3><dl>{known}</dl><br>" if known else ""
    used = (*_TERMS, *(_TEXT_TERMS if any(one.texts is not None for one in evaluations) else ()))
    terms = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in used)
    return f"<footer>{made}<h3>Words used</h3><dl>{terms}</dl></footer>"
