"""Turn an answer into its reading and back.

`read` says which decisions an answer stands for; `write` says which answer follows from decisions. For every
answer that validates, `write(read(answer)) == answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from microlith.errors import DataError, SchemaError
from microlith.task.formats import FORMATS
from microlith.task.plan import Computed, Group, Json, Plan, Reading, Slot, Span, Variant

Step = dict[str, Json]


def read(plan: Plan, answer: Mapping[str, Json]) -> Reading:
    """The decisions that `answer` stands for.

    Raises:
        DataError: if no variant of the plan has this answer's discriminators.
    """
    reading: Reading = {(): _root_steps(plan, answer)}
    for group in plan.groups[1:]:
        items = _get(answer, group.path)
        reading[group.path] = [_read_step(group, item) for item in items or ()]
    return reading


def write(plan: Plan, reading: Reading, request: str = "") -> dict[str, Json]:
    """The answer that follows from `reading`; an incomplete step becomes the clarifying answer.

    Args:
        plan: The task's plan.
        reading: Decisions; at least one step for the root group.
        request: The request, handed to computed values.

    Raises:
        SchemaError: if a required value is absent and the plan has no clarify branch.
    """
    steps = reading[()]
    for step in steps:
        variant = variant_of(plan.root, step)
        if missing_of(variant, step):
            return _clarifying(plan, variant, step)
    answers = [_write_step(plan.root, step, request) for step in steps]
    for answer in answers:
        for group in plan.groups[1:]:
            if group.path in variant_of(plan.root, steps[0]).order:
                items = [_write_step(group, item, request) for item in reading.get(group.path, [])]
                _set(answer, group.path, items)
    if len(answers) == 1 or plan.sequence is None:
        return _ordered(answers[0], variant_of(plan.root, steps[0]))
    name, value = plan.sequence.tag
    return {name: value, plan.sequence.steps: answers}


def copied_values(plan: Plan, readings: Iterable[Reading]) -> list[str]:
    """Every value of the readings that is a slice of its request, as text."""
    found: list[str] = []
    for reading in readings:
        for group in plan.groups:
            for step in reading.get(group.path, ()):
                for key, value in step.items():
                    if group.slots[key].kind == "span" and value is not None:
                        found.extend(map(str, value if isinstance(value, list) else [value]))
    return found


def variant_of(group: Group, step: Mapping[str, Json]) -> Variant:
    """The variant that the discriminators of `step` select; an undecided one takes the first that fits.

    Raises:
        DataError: if none fits.
    """
    best, most = None, -1
    for variant in group.variants:
        stated = sum([step.get(key) is not None for key in variant.slots]) if _fits(variant, step) else -1
        if stated > most:
            best, most = variant, stated
    if best is None:
        raise DataError(f"no branch of the schema has {dict(step)!r}")
    return best


def _fits(variant: Variant, step: Mapping[str, Json]) -> bool:
    return all(step.get(key) in (None, value) for key, value in variant.tags.items())


def missing_of(variant: Variant, step: Mapping[str, Json]) -> list[str]:
    """Keys of the required slots that `step` leaves empty, in schema order."""
    return [key for key in variant.required if step.get(key) is None]


def compute(function: str, request: str, answer: Mapping[str, Json]) -> Json:
    """Call the `module:function` of a Computed decision.

    Raises:
        SchemaError: if it cannot be imported.
    """
    module, _, name = function.partition(":")
    try:
        return getattr(import_module(module), name)(request, answer)
    except (ImportError, AttributeError) as error:
        raise SchemaError(
            f"x-computed {function!r} cannot be called: {error}", mend="name it module:function"
        ) from error


def _root_steps(plan: Plan, answer: Mapping[str, Json]) -> list[Step]:
    if plan.sequence and answer.get(plan.sequence.tag[0]) == plan.sequence.tag[1]:
        return [_read_step(plan.root, item) for item in answer[plan.sequence.steps]]
    if plan.clarify and answer.get(plan.clarify.tag[0]) == plan.clarify.tag[1]:
        return [_read_clarify(plan, answer)]
    return [_read_step(plan.root, answer)]


def _read_step(group: Group, answer: Mapping[str, Json]) -> Step:
    tags = {key: _get(answer, group.slots[key].path) for key in group.discriminators}
    for variant in group.variants:
        if all(tags[key] == value and type(tags[key]) is type(value) for key, value in variant.tags.items()):
            return {**variant.tags, **{key: _value(group.slots[key], answer) for key in variant.slots}}
    raise DataError(f"no branch of the schema has {tags!r}")


def _value(slot: Slot, answer: Mapping[str, Json]) -> Json:
    value = _get(answer, slot.path)
    return list(value or ()) if slot.max_items is not None else value


def _read_clarify(plan: Plan, answer: Mapping[str, Json]) -> Step:
    assert plan.clarify is not None
    group, outer = plan.root, plan.root.discriminators[0]
    given = {
        name
        for name in answer
        if name not in (plan.clarify.tag[0], plan.clarify.intent, plan.clarify.missing)
    }
    named = given | set(answer[plan.clarify.missing])
    fitting = [
        variant
        for variant in group.variants
        if variant.tags.get(outer) == answer[plan.clarify.intent]
        and all(answer.get(key) in (None, value) for key, value in variant.tags.items() if key != outer)
    ]
    best = max(fitting, key=lambda variant: _fit(group, variant, answer, named), default=None)
    if best is None:
        raise DataError(f"no branch of the schema has the intent {answer[plan.clarify.intent]!r}")
    tags = {key: answer.get(key) if key != outer else value for key, value in best.tags.items()}
    return {**tags, **{key: answer.get(group.slots[key].path[0]) for key in best.slots}}


def _fit(group: Group, variant: Variant, answer: Mapping[str, Json], named: set[str]) -> int:
    """How well a variant explains the keys that a clarifying answer gives or misses."""
    score = 0
    for key in variant.slots:
        slot = group.slots[key]
        value = answer.get(slot.path[0])
        if value is not None and isinstance(slot.decision, Span):
            score += 1 if FORMATS[slot.decision.format].check(str(value)) else -2
        elif key in variant.required:
            score += 1 if slot.path[0] in named else -2
    return score


def _clarifying(plan: Plan, variant: Variant, step: Step) -> dict[str, Json]:
    if plan.clarify is None:
        raise SchemaError(
            f"required values are absent: {missing_of(variant, step)}", mend="add a clarify branch"
        )
    outer = plan.root.discriminators[0]
    answer: dict[str, Json] = {
        plan.clarify.tag[0]: plan.clarify.tag[1],
        plan.clarify.intent: variant.tags[outer],
    }
    by_path = {plan.root.slots[key].path: key for key in (*variant.tags, *variant.slots) if key != outer}
    for path in variant.order:
        if path in by_path and step.get(by_path[path]) is not None:
            answer[path[0]] = step[by_path[path]]
    answer[plan.clarify.missing] = [plan.root.slots[key].path[0] for key in missing_of(variant, step)]
    return answer


def _write_step(group: Group, step: Step, request: str) -> dict[str, Json]:
    variant = variant_of(group, step)
    answer: dict[str, Json] = {}
    for path in variant.objects:
        _set(answer, path, {})
    for path, value in variant.fixed.items():
        _set(answer, path, value)
    for key in (*variant.tags, *variant.slots):
        slot, value = group.slots[key], variant.tags.get(key, step.get(key))
        if value is None:
            continue
        if slot.max_items is not None and not value and key in variant.optional:
            continue
        _set(answer, slot.path, value)
    for key in variant.computed:
        decision = group.slots[key].decision
        if isinstance(decision, Computed):
            _set(answer, group.slots[key].path, compute(decision.function, request, answer))
    return _ordered(answer, variant)


def _ordered(answer: dict[str, Json], variant: Variant) -> dict[str, Json]:
    ordered: dict[str, Json] = {}
    for path in variant.order:
        _open(ordered, [outer for outer in variant.objects if outer == path[: len(outer)]])
        value = _get(answer, path)
        if value is not None or path in variant.fixed:  # a constant may be null
            _set(ordered, path, value)
    _open(ordered, variant.objects)
    names = dict.fromkeys(path[0] for path in (*variant.order, *variant.objects))
    return {name: ordered[name] for name in names if name in ordered}


def _get(answer: Any, path: tuple[str, ...]) -> Json:
    for name in path:
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    return answer


def _open(answer: dict[str, Json], paths: Iterable[tuple[str, ...]]) -> None:
    """Give objects a place in their order, empty as long as nothing is written into them."""
    for path in paths:
        inner = answer
        for name in path:
            inner = inner.setdefault(name, {})


def _set(answer: dict[str, Json], path: tuple[str, ...], value: Json) -> None:
    for name in path[:-1]:
        answer = answer.setdefault(name, {})
    answer[path[-1]] = value
