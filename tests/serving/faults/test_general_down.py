"""A general model that is down, slow, or says nonsense: the next stage answers, or the refusal says what happened."""

from __future__ import annotations

import pytest

from tests.routing.endpoint import Reaction, breaks_off, completion, hangs_up, says, silent, status
from tests.serving.faults.conftest import OPENED, ORDER, PORT, Plain
from tests.serving.faults.processes import traces

HALF = '{"action": "open", "po'


@pytest.mark.parametrize(
    ("reaction", "reason", "detail"),
    [
        pytest.param(hangs_up, "error", "no connection", id="hangs up"),
        pytest.param(breaks_off, "error", "no connection", id="breaks off"),
        pytest.param(status(500), "error", "HTTP 500", id="500"),
        pytest.param(status(429, headers={"Retry-After": "7"}), "error", "HTTP 429, Retry-After: 7 s", id="429"),
        pytest.param(status(200, "<html>it works</html>"), "error", "not what OpenAI's interface", id="a page"),
        pytest.param(status(200, "{"), "error", "not what OpenAI's interface", id="half a reply"),
        pytest.param(status(200, "[]"), "error", "not what OpenAI's interface", id="a list"),
        pytest.param(says("gladly!"), "not valid", "holds no JSON object", id="garbage"),
        pytest.param(says(None), "not valid", "is empty", id="nothing"),
        pytest.param(status(200, completion(HALF, finish="length")), "not valid", "cut off", id="cut off"),
        pytest.param(says(HALF), "not valid", "no strict JSON", id="half an answer"),
        pytest.param(says({"mood": "glad"}), "not valid", "does not fit the schema", id="another schema"),
        pytest.param(says({"action": "open", "port": 9999}), "not valid", "not grounded", id="invented"),
        pytest.param(silent, "timeout", "no answer within 3 s", id="silent"),
    ],
)  # fmt: skip
def test_the_next_stage_answers_and_the_trace_says_why(
    plain: Plain, reaction: Reaction, reason: str, detail: str
) -> None:
    one = plain.server
    assert one.predict("gate", PORT).value["stage"] == "general"  # which closes its circuit, too
    name = f'microlith_hops_left_total{{reason="{reason}",stage="general",task="gate"}}'
    before = one.metrics().get(name, 0.0)
    plain.general_does(reaction)
    reply = one.predict("gate", PORT)
    assert (reply.status, reply.value["output"], reply.value["stage"]) == (200, OPENED, "rules")
    assert reply.value["hops"][0]["left"] == reason
    assert detail in reply.value["hops"][0]["detail"]
    kept = traces(one.home)[reply.value["trace_id"]]
    assert [(hop["stage"], hop["left"]) for hop in kept["hops"]] == [("general", reason), ("rules", None)]
    assert (kept["output"], kept["stage"]) == (OPENED, "rules")
    assert one.metrics()[name] == before + 1


def test_a_caller_in_a_hurry_gets_the_next_stage_s_answer_in_time(plain: Plain) -> None:
    plain.general_does(silent)
    reply = plain.server.predict("music", "play something by Old Lamps", deadline_ms=2000)
    assert [(hop["stage"], hop["left"]) for hop in reply.value["hops"]] == [
        ("general", "timeout"),
        ("nearest", None),
    ]
    assert reply.value["output"] == {"intent": "play", "slots": {"artist": ["Old Lamps"]}}


def test_callers_in_a_hurry_do_not_open_the_circuit_for_others(plain: Plain) -> None:
    plain.general_does(silent)
    for _ in range(6):
        hurried = plain.server.predict("music", "play something by Old Lamps", deadline_ms=40)
        assert hurried.value["hops"][0]["left"] == "timeout"
    plain.general_does(says({"intent": "play", "slots": {"artist": ["Old Lamps"]}}))
    assert plain.server.predict("music", "play something by Old Lamps").value["stage"] == "general"


def test_where_nobody_else_answers_the_refusal_is_honest_and_kept(plain: Plain) -> None:
    plain.general_does(status(500))
    reply = plain.server.predict("orders", ORDER.input)
    assert (reply.status, reply.value["output"], reply.value["stage"]) == (200, None, None)
    assert "specialist: low confidence" in reply.value["refusal"]
    assert "general: error (big at" in reply.value["refusal"]
    kept = traces(plain.server.home)[reply.value["trace_id"]]
    assert (kept["output"], kept["refusal"]) == (None, reply.value["refusal"])


def test_after_repeated_failures_it_is_not_asked_any_more(plain: Plain) -> None:
    """The last of this file: the circuit of this task stays open for half a minute."""
    one = plain.server
    assert one.predict("orders", ORDER.input).value["stage"] == "general"
    plain.general_does(status(500))
    asked = len(plain.general.bodies)
    hops = [one.predict("orders", ORDER.input).value["hops"][-1] for _ in range(8)]
    assert [hop["left"] for hop in hops] == ["error"] * 5 + ["open circuit"] * 3
    assert len(plain.general.bodies) == asked + 5
    assert hops[-1]["detail"] == "it failed too often of late"
    left = one.metrics()
    assert left['microlith_hops_left_total{reason="open circuit",stage="general",task="orders"}'] >= 3
    assert left['microlith_requests_total{route_stage="none",status="refused",task="orders"}'] >= 8
