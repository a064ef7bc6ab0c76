from __future__ import annotations

from microlith.data.conflicts import find_conflicts
from tests.data.small import PLAN, member, other, user

LONG = "would somebody be so kind and create the new account bob for the warehouse on monday"


def test_one_request_with_two_answers_is_a_conflict() -> None:
    rows = [
        user("add bob", "bob", source="a:1"),
        other("add BOB!", source="b:2"),
        user("add ann", "ann", source="c:3"),
    ]
    (conflict,) = find_conflicts(rows)
    assert (conflict.certain, [one.source for one in conflict.examples]) == (True, ["a:1", "b:2"])
    problem = conflict.problem()
    assert problem.place == "a:1"
    assert "b:2" in problem.what
    assert problem.mend


def test_nearly_one_request_with_two_answers_is_suspicious() -> None:
    rows = [user(LONG, "bob", source="a:1"), other(LONG.replace("monday", "sunday"), source="b:2")]
    (conflict,) = find_conflicts(rows)
    assert conflict.certain is False
    assert "nearly" in conflict.problem().what
    assert find_conflicts(rows, near=None) == ()


def test_equal_answers_are_no_conflict() -> None:
    assert (
        find_conflicts([user("add bob", "bob"), user("Add bob", "bob"), member("bob to ops", "bob", "ops")])
        == ()
    )


def test_no_rows_have_no_conflict() -> None:
    assert find_conflicts([]) == ()


def test_secrets_are_not_shown() -> None:
    rows = [
        user('add bob with Secret#"1', "bob", 'Secret#"1', source="a:1"),
        other('add bob with Secret#"1', source="b:2"),
    ]
    (conflict,) = find_conflicts(rows, plan=PLAN)
    assert "Secret" not in str(conflict.problem())
    assert "••••" in str(conflict.problem())
