from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.evaluation.masking import MASK, OTHER, Masker
from microlith.task.taskfile import Task

SECRET = "hunter22!"


def masker(task: Task, expected: Any, got: Any = None) -> Masker:
    return Masker(task.plan, expected=expected, got=got)


def test_the_request_hides_the_secret(actions: Task) -> None:
    mask = masker(actions, {"action": "user_add", "user": "bob", "password": SECRET})
    assert mask.text(f"add bob with {SECRET}, again {SECRET}") == f"add bob with {MASK}, again {MASK}"


def test_a_secret_inside_a_step_is_hidden(actions: Task) -> None:
    answer = {"action": "sequence", "steps": [{"action": "user_add", "user": "bob", "password": SECRET}]}
    assert masker(actions, answer).answer(answer)["steps"][0]["password"] == MASK


def test_another_secret_than_the_expected_one_is_hidden_but_told_apart(actions: Task) -> None:
    expected = {"action": "user_add", "user": "bob", "password": SECRET}
    got = {"action": "user_add", "user": "bob", "password": "hunter2"}
    assert masker(actions, expected, got).answer(got)["password"] == OTHER


@pytest.mark.parametrize("value", [SECRET, f"x{SECRET}y", "hunter22"])
def test_a_secret_copied_to_another_field_is_hidden(actions: Task, value: str) -> None:
    mask = masker(actions, {"action": "user_add", "user": "bob", "password": SECRET})
    assert "unter22" not in json.dumps(mask.answer({"action": "user_add", "user": value}))


def test_a_secret_with_escapes_is_hidden_in_a_message(actions: Task) -> None:
    secret = 'a"b\\c'
    mask = masker(actions, {"action": "user_add", "user": "bob", "password": secret})
    assert mask.text(f"{secret} {json.dumps(secret)} {secret!r}").count(MASK) == 3


def test_a_short_secret_hides_whole_words_only(actions: Task) -> None:
    mask = masker(actions, {"action": "user_add", "user": "bob", "password": "a"})
    assert mask.text("add a user, a!") == f"add {MASK} user, {MASK}!"


def test_what_is_no_secret_stays(actions: Task) -> None:
    answer = {"action": "host_add", "host": "a.example", "port": 80, "on": True, "none": None}
    assert masker(actions, answer).answer(answer) == answer


@settings(deadline=None)
@given(st.text(min_size=4, max_size=20).filter(lambda text: text.strip() == text))
def test_no_secret_of_four_characters_survives(actions: Task, secret: str) -> None:
    if secret in MASK or secret in OTHER:
        return
    answer = {"action": "user_add", "user": f"x{secret}", "password": secret}
    mask = masker(actions, answer)
    masked = mask.answer(answer)
    assert secret not in masked["user"]
    assert masked["password"] == MASK
    assert secret not in mask.text(f"make {secret} so")
