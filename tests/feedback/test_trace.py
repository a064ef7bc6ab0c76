from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

from microlith.feedback.trace import Trace, request_hash, trace_of
from microlith.routing.route import Hop
from microlith.store.tables import TRACES
from tests.feedback.told import GATE_PLAN, SALT, WHEN, answered

LOGIN = {"action": "login", "user": "bob", "password": "hunter22"}


def test_a_trace_mirrors_the_table() -> None:
    assert [field.name for field in dataclasses.fields(Trace)] == [column.name for column in TRACES.columns]


def test_a_trace_says_what_became_of_a_request() -> None:
    hops = (
        Hop(stage="rules", model="rules", latency_ms=1.0, left="no answer"),
        Hop(
            stage="general",
            model="big",
            latency_ms=9.0,
            confidence=0.9,
            tokens_in=70,
            tokens_out=7,
            cost=0.25,
        ),
        Hop(
            stage="general",
            model="big",
            latency_ms=9.0,
            confidence=0.9,
            tokens_in=30,
            tokens_out=3,
            cost=0.25,
        ),
    )
    made = trace_of(
        GATE_PLAN,
        answered("open port 80", {"action": "open", "port": 80}, hops=hops),
        at=WHEN,
        salt=SALT,
        labels={"k": "v"},
    )
    assert (made.stage, made.model, made.refusal, made.confidence) == ("general", "gate@3", None, 0.9)
    assert (made.tokens_in, made.tokens_out, made.cost) == (100, 10, 0.5)
    assert (made.latency_ms, made.model_ms) == (3.0, 2.0)
    assert [dict(hop) for hop in made.hops] == [dataclasses.asdict(hop) for hop in hops]
    assert made.labels == {"k": "v"}


def test_a_refusal_has_no_stage_and_no_output() -> None:
    made = trace_of(GATE_PLAN, answered("hm", None, refusal="nobody knows"), at=WHEN, salt=SALT)
    assert (made.stage, made.output, made.refusal, made.confidence) == (None, None, "nobody knows", 0.0)


def test_the_time_is_kept_as_utc() -> None:
    at = datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    made = trace_of(GATE_PLAN, answered("x", None, refusal="no"), at=at, salt=SALT)
    assert made.at == at
    assert made.at.tzinfo is UTC


def test_equal_requests_of_one_database_have_equal_hashes() -> None:
    assert request_hash("a", b"1") == request_hash("a", b"1")
    assert len({request_hash("a", b"1"), request_hash("a", b"2"), request_hash("b", b"1")}) == 3
    assert request_hash("\ud800", b"1") != request_hash("?", b"1")


def test_a_hash_does_not_tell_a_password() -> None:
    one, other = (
        trace_of(
            GATE_PLAN, answered(f"login bob {word}", {**LOGIN, "password": word}), at=WHEN, salt=SALT
        ).request_hash
        for word in ("hunter22", "tr0ub4dor")
    )
    assert one == other
