from __future__ import annotations

import pytest

from microlith.feedback.cues import guessed


@pytest.mark.parametrize(
    ("request_text", "secret"),
    [
        ("change password to hunter", "hunter"),
        ("password hunter", "hunter"),
        ("password: hunter", "hunter"),
        ("password=hunter", "hunter"),
        ("password -> hunter", "hunter"),
        ("passwd is hunter for bob", "hunter"),
        ("her pw will be hunter.", "hunter"),
        ("pass: hunter", "hunter"),
        ("PIN 4711", "4711"),
        ("the secret reads hunter", "hunter"),
        ("the password for bob to hunter", "hunter"),
        ("set the password of j.doe to hunter", "hunter"),
        ("bob's password should be hunter", "hunter"),
        ("Passwort auf Sommer setzen", "Sommer"),
        ("das Passwort lautet Sommer", "Sommer"),
        ('use "plum train" as her password', "plum train"),
        ("hunter as password for bob", "hunter"),
        ("hunter would be the password", "hunter"),
        ("password 'plum train 94' please", "plum train 94"),
        ("new passphrase: „plum train“", "plum train"),
        ("i forgot my password, take Blume-9931", "Blume-9931"),
        ("rotate svc_mon: N0tR00t%%", "N0tR00t%%"),
        ("reset admin_home -> u$e-th3-f0rce", "u$e-th3-f0rce"),
    ],
)
def test_a_word_that_stands_for_a_secret_is_found(request_text: str, secret: str) -> None:
    assert secret in guessed(request_text)


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        "open port 8080/tcp for 10.0.0.5",
        "add *.app.lan pointing to fd12:3456::7b",
        r"share \\files\backup$ for bob@example.org!",
        "fetch https://example.org/a?b=c#d",
        "a passenger passes the passage",
        "no password for now",
        "why is kasper in sudo??",
        "create the share, i'd like bob's files there",
    ],
)
def test_a_request_that_names_no_secret_has_no_guesses(request_text: str) -> None:
    assert guessed(request_text) == ()


def test_a_password_of_plain_words_without_a_cue_is_not_found() -> None:
    assert "hunter2" not in guessed("reset bob to hunter2")
