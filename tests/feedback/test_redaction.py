from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.feedback import redaction
from microlith.feedback.redaction import MANY, MASK, redacted
from microlith.feedback.trace import Trace, trace_of
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.routing.route import Hop
from tests.feedback.told import GATE_PLAN, SALT, WHEN, answered, list_plan, pin_plan, public_plan

SECRET = "hunter22!"


def login(user: str, password: str) -> dict[str, Any]:
    return {"action": "login", "user": user, "password": password}


def test_a_secret_is_hidden_in_the_answer_and_wherever_it_stands_in_the_request() -> None:
    made = redacted(GATE_PLAN, f"login bob {SECRET}, really {SECRET}x", login("bob", SECRET))
    assert made.request == f"login bob {MASK}, really {MASK}x"
    assert made.output == login("bob", MASK)


def test_a_secret_in_a_step_is_hidden() -> None:
    output = {"action": "sequence", "steps": [login("a", "first1"), login("b", "second2")]}
    made = redacted(GATE_PLAN, "a first1 then b second2", output)
    assert made.request == f"a {MASK} then b {MASK}"
    assert made.output["steps"] == [login("a", MASK), login("b", MASK)]


def test_a_secret_in_a_clarifying_answer_is_hidden() -> None:
    output = {"action": "clarify", "intent": "login", "password": SECRET, "missing": ["user"]}
    made = redacted(GATE_PLAN, f"login with {SECRET}", output)
    assert made.output == {**output, "password": MASK}
    assert made.request == f"login with {MASK}"


def test_every_item_of_a_secret_list_is_hidden() -> None:
    made = redacted(list_plan(), "ann: red, blue", {"action": "hide", "who": "ann", "words": ["red", "blue"]})
    assert made.request == f"ann: {MASK}, {MASK}"
    assert made.output == {"action": "hide", "who": "ann", "words": [MASK, MASK]}


def test_a_secret_number_is_hidden_as_it_is_spelled_in_the_request() -> None:
    field = FieldPrediction(path="pin", value=7, confidence=1.0, span=(11, 14))
    made = redacted(pin_plan(), "door a pin 007, 7", {"action": "open", "door": "a", "pin": 7}, [field])
    assert made.request == f"door a pin {MASK}, {MASK}"
    assert made.output == {"action": "open", "door": "a", "pin": MASK}


def test_a_secret_that_another_value_holds_is_hidden_there() -> None:
    made = redacted(GATE_PLAN, "x", login(f"x{SECRET}", SECRET))
    assert made.output["user"] == f"x{MASK}"


def test_a_short_secret_is_hidden_inside_words_too() -> None:
    made = redacted(GATE_PLAN, "login bob a", login("bob", "a"))
    assert made.request == f"login bob {MASK}"
    assert redacted(GATE_PLAN, "add ann", login("ann", "a")).request == f"{MASK}dd {MASK}nn"


def test_a_secret_inside_another_leaves_no_rest() -> None:
    output = {"action": "sequence", "steps": [login("a", "abc"), login("b", "abcdef")]}
    assert redacted(GATE_PLAN, "abcdef", output).request == MASK


def test_what_the_schema_lists_stays_readable() -> None:
    output = {
        "action": "sequence",
        "steps": [login("bob", "o"), {"action": "open", "port": 80, "protocol": "tcp"}],
    }
    made = redacted(GATE_PLAN, "x", output)
    assert made.output["action"] == "sequence"
    assert [step["action"] for step in made.output["steps"]] == ["login", "open"]
    assert made.output["steps"][0]["user"] == f"b{MASK}b"


def test_a_listed_word_is_hidden_where_it_was_copied_from_the_request() -> None:
    assert redacted(GATE_PLAN, "login login tcp", login("tcp", "tcp")).output["user"] == MASK


def test_a_number_that_holds_the_secret_becomes_masked_text() -> None:
    output = {"action": "sequence", "steps": [login("bob", "80"), {"action": "open", "port": 8080}]}
    assert redacted(GATE_PLAN, "x", output).output["steps"][1]["port"] == MASK


@pytest.mark.parametrize("spell", [str, repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
def test_a_secret_is_hidden_however_a_message_spells_it(spell: Any) -> None:
    secret = "a\"b\\c'ü\n"
    made = redacted(GATE_PLAN, "x", login("bob", secret))
    assert "b\\" not in made.secrets.message(f"says {spell(secret)}!")


def test_a_secret_that_a_message_cuts_is_hidden() -> None:
    made = redacted(GATE_PLAN, "x", login("bob", "correct horse battery"))
    assert made.secrets.message("'correct hor...: expected a word") == f"'{MASK}...: expected a word"


def test_labels_lose_the_secret() -> None:
    made = redacted(GATE_PLAN, "x", login("bob", SECRET))
    assert made.secrets.labels({"customer": "c1", "note": f"is {SECRET}"}) == {
        "customer": "c1",
        "note": f"is {MASK}",
    }


def test_a_task_without_secrets_is_left_as_it_is() -> None:
    made = redacted(public_plan(), "greet ann, password hunter2", None)
    assert made.request == "greet ann, password hunter2"
    assert made.secrets.message("hunter2") == "hunter2"


def test_an_answer_without_its_secret_does_not_show_what_looks_like_one() -> None:
    made = redacted(GATE_PLAN, "open port 80, the password is hunter2", {"action": "open", "port": 80})
    assert made.request == f"open port 80, the password is {MASK}"


def test_a_refused_request_hides_guesses_in_labels_and_messages_as_whole_words() -> None:
    made = redacted(GATE_PLAN, "set password to frog", None)
    assert made.request == f"set password to {MASK}"
    assert made.secrets.message("'frog' is no user; frogs are") == f"'{MASK}' is no user; frogs are"
    assert made.secrets.labels({"note": "frog"}) == {"note": MASK}


def test_a_refused_request_hides_what_a_stage_took_for_a_secret_that_was_not_believed() -> None:
    unsure = Prediction(
        output=login("bob", "frog"), confidence=0.4, fields=(), model="gate@3", latency_ms=1.0
    )
    left = (unsure, Prediction(output=None, confidence=0.0, fields=(), model="big", latency_ms=1.0))
    assert redacted(GATE_PLAN, "let bob in, frog", None, left=left).request == f"let bob in, {MASK}"
    answered = redacted(GATE_PLAN, "open port 80, frog", {"action": "open", "port": 80}, left=left)
    assert answered.request == "open port 80, frog"


def test_a_request_of_too_many_guesses_is_hidden_as_a_whole() -> None:
    made = redacted(GATE_PLAN, "pw " + " ".join(f"word{n}" for n in range(MANY + 1)), None)
    assert made.request == MASK
    assert made.secrets.text("anything") == MASK


def test_adjacent_secrets_leave_one_mask() -> None:
    assert redacted(GATE_PLAN, "aaa b aa", login("x", "a")).request == f"{MASK} b {MASK}"


def test_a_plan_that_is_gone_is_forgotten() -> None:
    for _ in range(3):
        redacted(pin_plan(), "x", None)
    gc.collect()
    assert len(redaction._PLACES) <= 2


def test_the_secrets_are_not_part_of_what_is_shown() -> None:
    assert SECRET not in repr(redacted(GATE_PLAN, SECRET, login("bob", SECRET)))


def shown(trace: Trace) -> Iterator[str]:
    """Every text of a trace that a person or a program wrote."""
    yield trace.request
    yield trace.refusal or ""
    yield from (
        str(value) for step in trace.output["steps"] for name, value in step.items() if name != "action"
    )
    yield from (hop["detail"] for hop in trace.hops)
    yield from trace.labels
    yield from trace.labels.values()


@settings(deadline=None, max_examples=200)
@given(
    secret=st.text(min_size=1, max_size=12),
    other=st.text(min_size=1, max_size=12),
    around=st.text(max_size=8),
)
def test_no_secret_survives_anywhere(secret: str, other: str, around: str) -> None:
    request = f"{around}{secret}{around}{other}{secret}{secret}{other[1:]}"
    output = {"action": "sequence", "steps": [login(f"x{secret}y", secret), login(around + other, other)]}
    details = (f"{secret!r}: no", json.dumps(other), f"{request}", around)
    hops = tuple(Hop(stage="general", model="m", latency_ms=1.0, left="error", detail=one) for one in details)
    routed = answered(request, output, refusal=f"because of {secret}", hops=hops)
    made = trace_of(GATE_PLAN, routed, at=WHEN, salt=SALT, labels={secret: other, "note": request})
    for text in shown(made):
        for piece in text.split(MASK):
            assert secret not in piece
            assert other not in piece


@settings(deadline=None, max_examples=100)
@given(
    cue=st.sampled_from(["password", "passwd", "pw", "pass", "Passwort", "secret", "PIN"]),
    link=st.sampled_from([" ", " is ", ": ", "=", " = ", " to ", " as ", " auf "]),
    secret=st.from_regex(r"[A-Za-z0-9]{0,5}[0-9][A-Za-z0-9]{3,8}", fullmatch=True),
    quote=st.sampled_from(["", '"', "'"]),
)
def test_a_secret_beside_a_cue_is_hidden_in_a_refused_request(
    cue: str, link: str, secret: str, quote: str
) -> None:
    routed = answered(f"give bob {cue}{link}{quote}{secret}{quote} now", None, refusal=f"no {secret}")
    made = trace_of(GATE_PLAN, routed, at=WHEN, salt=SALT, labels={"note": secret})
    assert secret not in f"{made.request} {made.refusal} {made.labels}"
