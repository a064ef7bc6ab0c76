"""A language model drives the walk: valid whatever it wants, right where it knows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from microlith.data.rows import render_input
from microlith.inference.asks import dumped
from microlith.inference.grounding import spec_of
from microlith.inference.guided import ROOM, Reader, repeats
from microlith.inference.notes import Guided
from microlith.inference.spelling import Speller
from microlith.task.linter import plan_of
from microlith.task.packs import pack_folder
from microlith.task.schema import document_of
from microlith.task.validate import Validator
from tests.inference.fake_file import KnowingFile, RandomFile, guide_of, knowing, pieces, prompt_of
from tests.inference.test_spelling import FIGURES, PACKS, REQUEST, SCHEMAS, SPELLERS, VALIDATORS, many, of
from tests.inference.toys import span, toy
from tests.inference.walking import ODD_REQUESTS, drive_or_end, speller_of
from tests.inference.wild_schemas import wild_schema


def answer(speller: Speller, request: str, file: RandomFile) -> Guided:
    return guide_of(speller, file).answer(request, speller.ground(request))


def assert_sound(found: Guided) -> None:
    """Probabilities are ones, and what there is hangs together."""
    assert found.log_probability <= 0.0
    assert found.allowed <= 1e-6
    assert found.wording <= 0.0
    assert found.why == ""
    for one in found.decoded.decisions:
        assert one.log_probability <= 0.0
        assert math.isfinite(one.log_probability)
        assert 0.0 <= one.margin < math.inf
    keys = [(one.group, one.step, one.key) for one in found.decoded.decisions]
    assert len(keys) == len(set(keys))


# ------------------------------------------------------------------------------------------- a model that knows nothing


@pytest.mark.parametrize("name", SCHEMAS)
def test_any_model_gives_valid_answers(name: str) -> None:
    requests = [
        REQUEST + "\n" + FIGURES,
        *([row.input for row in toy(name).examples[:4]] if name in TOYS else []),
    ]
    for seed, request in enumerate(requests * 2):
        found = answer(SPELLERS[name], request, RandomFile(seed=seed))
        assert found.output is not None, found.why
        assert VALIDATORS[name].problems(found.output) == []
        assert_sound(found)


TOYS = ("gate", "music", "orders", "mood")


@pytest.mark.parametrize("odd", ODD_REQUESTS)
def test_odd_requests_are_answered_or_refused_with_a_reason(odd: str) -> None:
    for name in ("gate", "infra", "task-risk"):
        found = answer(SPELLERS[name], ODD_REQUESTS[odd], RandomFile(seed=1))
        if found.output is None:
            assert found.why
        else:
            assert VALIDATORS[name].problems(found.output) == []


@pytest.mark.parametrize("part", range(4))
def test_any_schema_is_answered_validly(part: int) -> None:
    for number in range(part, 60, 4):
        schema = wild_schema(Random(number))
        try:
            plan = plan_of(document_of(schema))
        except Exception:
            continue
        found = answer(Speller(plan, spec_of(plan)), REQUEST, RandomFile(seed=number))
        if found.output is None:
            assert found.why, number
        else:
            assert Validator(schema).problems(found.output) == [], number
            assert_sound(found)


def test_the_same_twice_and_in_any_order() -> None:
    rows = [row.input for row in toy("gate").examples[:8]]
    guide = guide_of(SPELLERS["gate"], RandomFile(seed=3))
    first = [guide.answer(one, SPELLERS["gate"].ground(one)) for one in rows]
    second = [guide.answer(one, SPELLERS["gate"].ground(one)) for one in reversed(rows)]
    assert [replace(one, tokens=0) for one in reversed(second)] == [replace(one, tokens=0) for one in first]


# ------------------------------------------------------------------------------------------- a model that knows


@pytest.mark.parametrize("name", TOYS)
def test_what_a_model_knows_is_said(name: str) -> None:
    for row in toy(name).examples[:25]:
        file = knowing(SPELLERS[name], row.input, row.output)
        found = answer(SPELLERS[name], row.input, file)
        assert found.output == row.output
        assert found.log_probability > -1e-3
        assert_sound(found)
        assert file.held == file.known[: len(file.held)]


@pytest.mark.parametrize("part", range(4))
def test_what_can_be_spelled_can_be_said(part: int) -> None:
    said = 0
    for number in range(part, 100, 4):
        schema = wild_schema(Random(number))
        try:
            plan = plan_of(document_of(schema))
        except Exception:
            continue
        speller = Speller(plan, spec_of(plan))
        driven = drive_or_end(speller, REQUEST, Random(number))
        if driven is not None:
            found = answer(speller, REQUEST, knowing(speller, REQUEST, driven[1]))
            assert dumped(found.output) == driven[0], number
            said += 1
    assert said > 10


@pytest.mark.parametrize(
    "text", ['say "no"', "a\\b", "one.\nTwo\tthree", "漢字🙂 Straße", "", 'ends in "', "\\", "\\\\n"]
)
def test_any_text_can_be_said(text: str) -> None:
    speller = speller_of(of(a={"type": "string", "maxLength": 40}))
    assert answer(speller, "x", knowing(speller, "x", {"a": text})).output == {"a": text}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, -123456), ({"type": "integer"}, 0), ({"type": "integer", "minimum": 5000}, 5012),
        ({"type": "number"}, 0.25), ({"type": "number"}, -1234.5), ({"type": "number", "maximum": -0.5}, -0.75),
        ({"type": "integer", "minimum": 1, "maximum": 200}, 20),
    ],
)  # fmt: skip
def test_numbers_can_be_said(schema: dict[str, Any], value: float) -> None:
    speller = speller_of(of(a=schema, b={"type": "boolean"}))
    right = {"a": value, "b": True}
    assert answer(speller, "x", knowing(speller, "x", right)).output == right


def test_an_option_that_begins_another_can_be_said() -> None:
    speller = speller_of(of(a={"enum": [1, 12, 120]}, b={"enum": ["re", "red", "red hot"]}))
    for a in (1, 12, 120):
        for b in ("re", "red", "red hot"):
            assert answer(speller, "x", knowing(speller, "x", {"a": a, "b": b})).output == {"a": a, "b": b}


@pytest.mark.parametrize("pack", PACKS)
def test_rows_of_a_pack_can_be_said(pack: str) -> None:
    said = 0
    for path in sorted((pack_folder(pack) / "data").glob("train*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[3::150]:
            row = json.loads(line)
            request = render_input(row["input"])
            found = answer(SPELLERS[pack], request, knowing(SPELLERS[pack], request, row["output"]))
            assert found.output == row["output"], request
            said += 1
    assert said > 0


# ------------------------------------------------------------------------------------------- how it asks


def test_forced_text_is_read_and_never_asked_for() -> None:
    file = RandomFile()
    found = answer(speller_of(of(a={"const": "x"}, b={"const": 3})), "hello", file)
    assert found.output == {"a": "x", "b": 3}
    assert file.calls == 0


def test_a_choice_takes_one_look_where_its_options_part() -> None:
    file = RandomFile()
    answer(speller_of(of(a={"enum": ["left", "right"]})), "hello", file)
    assert file.calls == 1


class Preferring(RandomFile):
    """The same logits everywhere: some tokens are wanted."""

    def __init__(self, wanted: dict[int, float], **more: Any) -> None:
        super().__init__(**more)
        self.wanted = wanted

    def logits(self) -> Any:
        import numpy as np

        found = np.full(self.vocabulary_size, -20.0)
        for token, logit in self.wanted.items():
            found[token] = logit
        return found


def test_the_most_probable_branch_is_taken_and_its_share_is_the_confidence() -> None:
    speller = speller_of(of(a={"enum": ["left", "right", "up"]}))
    first = {word: pieces().ids(f'"{word}"')[1] for word in ("left", "right", "up")}
    file = Preferring({first["left"]: 1.0, first["right"]: 2.0, first["up"]: 0.0})
    found = answer(speller, "hello", file)
    (decision,) = found.decoded.decisions
    assert found.output == {"a": "right"}
    total = math.log(math.e + math.e**2 + 1.0)
    assert decision.log_probability == pytest.approx(2.0 - total, abs=1e-5)
    assert decision.margin == pytest.approx(2.0 - math.log(math.e + 1.0), abs=1e-5)
    assert found.allowed == pytest.approx(0.0, abs=1e-4)


def test_what_the_model_wanted_but_may_not_say_shows_in_what_was_allowed() -> None:
    speller = speller_of(of(a={"enum": ["left", "right"]}))
    token = pieces().ids("nonsense")[0]
    found = answer(speller, "hello", Preferring({token: 10.0}))
    assert found.allowed < -20.0


def test_a_list_is_one_decision_that_holds_its_length() -> None:
    speller = speller_of(of(a=many({"enum": ["x", "y", "z"]}, 1)))
    found = answer(speller, "hello", knowing(speller, "hello", {"a": ["z", "x"]}, spread=1.0))
    (decision,) = found.decoded.decisions
    assert decision.value == ["z", "x"]


def test_what_is_copied_names_its_slice() -> None:
    speller = speller_of(of(a=span("word"), b=many(span("word"), 2, 2)))
    request = "one two three four"
    found = answer(speller, request, knowing(speller, request, {"a": "two", "b": ["three", "one"]}))
    grounding = speller.ground(request)
    copied = {one.key: [grounding.text(place) for place in one.candidates] for one in found.decoded.decisions}
    assert copied == {"a:word": ["two"], "b:word": ["three", "one"]}


def test_the_only_slice_is_a_decision_that_costs_what_naming_it_costs() -> None:
    speller = speller_of(of(["b"], a=span("ipv4"), b={"type": "boolean"}))
    request = "at 10.0.0.1"
    known = knowing(speller, request, {"a": "10.0.0.1", "b": True})
    found = answer(speller, request, known)
    one = {decided.key: decided for decided in found.decoded.decisions}
    assert [speller.ground(request).text(place) for place in one["a:ipv4"].candidates] == ["10.0.0.1"]
    unsure = answer(speller, request, RandomFile(seed=2, spread=0.5))
    costs = {decided.key: decided.log_probability for decided in unsure.decoded.decisions}
    assert costs["a:ipv4"] < -0.1


# ------------------------------------------------------------------------------------------- texts and numbers


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 1), (3, 3), (5, 40)])
def test_texts_keep_their_bounds_and_are_text(seed: int, least: int, most: int) -> None:
    text = {"type": "string", "minLength": least, "maxLength": most, "x-forbidden": ["e", "\\", "."]}
    schema = of(a=text, b=text)
    found = answer(speller_of(schema), "hello", RandomFile(seed=seed, spread=6.0))
    assert found.output is not None, found.why
    assert Validator(schema).problems(found.output) == []
    for value in found.output.values():
        assert value == value.encode().decode()
        assert not any(ord(sign) < 32 and sign not in "\n\r\t" for sign in value)


def test_a_model_that_never_ends_is_ended_at_the_bound() -> None:
    letter = pieces().ids("漢")
    file = Preferring(dict.fromkeys(letter, 50.0))
    found = answer(speller_of(of(a={"type": "string", "maxLength": 7})), "hello", file)
    assert found.output is not None, found.why
    assert len(found.output["a"]) == 7


def test_a_model_that_wants_to_end_writes_the_least() -> None:
    file = Preferring({pieces().ids('"')[0]: 50.0})
    found = answer(speller_of(of(a={"type": "string", "minLength": 4})), "hello", file)
    assert found.output is not None
    assert len(found.output["a"]) >= 4


def test_a_forbidden_phrase_goes_on_with_other_words() -> None:
    speller = speller_of(of(a={"type": "string", "maxLength": 30, "x-forbidden": ["NO"]}))
    free = speller_of(of(a={"type": "string", "maxLength": 30}))
    file = knowing(free, "x", {"a": "so no one"})
    found = answer(speller, "x", file)
    assert found.output is not None
    assert "no" not in found.output["a"].casefold()
    assert found.output["a"].startswith("so")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"}, {"type": "integer", "minimum": 5000, "maximum": 9999}, {"type": "integer", "minimum": 12345},
        {"type": "integer", "maximum": -12345}, {"type": "number"}, {"type": "number", "minimum": 0.5, "maximum": 0.75},
        {"type": "number", "minimum": -0.003, "maximum": -0.001}, {"type": "number", "minimum": 99.5},
    ],
)  # fmt: skip
def test_numbers_lie_within_their_bounds(schema: dict[str, Any]) -> None:
    whole = of(a=schema, b=many(schema, 1, 3))
    for seed in range(8):
        found = answer(speller_of(whole), "hello", RandomFile(seed=seed))
        assert found.output is not None, found.why
        assert Validator(whole).problems(found.output) == []


# ------------------------------------------------------------------------------------------- the context


def test_a_context_that_is_too_small_is_a_reason() -> None:
    speller = SPELLERS["gate"]
    prompt = len(prompt_of(pieces()).ids(pieces().ids("open port 22")))
    for context in range(1, prompt + 60):
        found = answer(speller, "open port 22", RandomFile(context_tokens=context))
        if found.output is None:
            assert "tokens" in found.why
        else:
            assert context > prompt + ROOM
    assert "the request has" in answer(speller, "x " * 9000, RandomFile()).why


def test_what_requests_share_is_read_once() -> None:
    speller, file = SPELLERS["mood"], RandomFile()
    guide = guide_of(speller, file)
    request = "today is a day of which one can say much, and all of it is "
    guide.answer(request + "great", speller.ground(request))
    once = file.tokens
    found = guide.answer(request + "awful", speller.ground(request))
    assert found.tokens == file.tokens - once
    assert found.tokens < once / 2


def test_a_reader_asked_twice_reads_nothing_again() -> None:
    file = RandomFile()
    reader = Reader(file)
    reader.start([5, 6, 7])
    first = reader.next().tolist()
    assert reader.next().tolist() == first
    assert file.calls == 1
    reader.back(2)
    assert reader.next().tolist() == RandomFile().read([5, 6], 0)[0].tolist()
    reader.add([7])
    reader.add([8, 9])
    reader.next()
    assert file.held == [5, 6, 7, 8, 9]
    reader.start([5, 6, 9])
    reader.next()
    assert file.held == [5, 6, 9]


def test_a_refused_request_leaves_the_next_one_unharmed() -> None:
    speller, file = SPELLERS["gate"], RandomFile(context_tokens=400)
    guide = guide_of(speller, file)
    alone = guide_of(speller, RandomFile(context_tokens=400)).answer(
        "open port 22", speller.ground("open port 22")
    )
    assert guide.answer("x " * 500, speller.ground("x")).output is None
    assert guide.answer("open port 22", speller.ground("open port 22")).output == alone.output


def test_unguided_it_says_what_it_likes_up_to_its_end() -> None:
    speller = SPELLERS["mood"]
    known = [*prompt_of(pieces()).ids(pieces().ids("hi")), *pieces().ids("whatever {"), 1]
    assert guide_of(speller, KnowingFile(known)).free("hi") == "whatever {"
    assert len(pieces().ids(guide_of(speller, RandomFile()).free("hi", 5))) <= 40
    assert guide_of(speller, RandomFile(context_tokens=8)).free("hi there, this is long") == ""


@pytest.mark.parametrize(
    ("text", "said", "same"),
    [
        ("Close the task.", ["close the task."], True),
        ("Half the steps are done.", ["Half the steps are open."], True),
        ("Half the clock is gone.", ["Half the steps are open."], False),
        ("Done.", ["Done already."], False),
        ("Done.", [], False),
    ],
)
def test_a_text_repeats_what_begins_with_the_same_words(text: str, said: list[str], same: bool) -> None:
    assert repeats(text, said) is same
