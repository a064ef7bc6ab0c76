from __future__ import annotations

from types import ModuleType

import pytest

from tests.packs.conftest import rows_of

FAULTS = [
    ("how to fix memory leaks in Node.js applications?", "prompt", "workflow"),
    ("create a new React component for user authentication", "workflow", "prompt"),
    ("implement OAuth2 authentication system with JWT tokens", "workflow", "prompt"),
]
"""The three documented errors: what is right and what the rules say."""


def test_fifteen_of_the_eighteen_documented_cases_are_right(cli_intent: ModuleType) -> None:
    rows = [row for row in rows_of("cli-intent", "test.jsonl") if row.get("group") == "documented"]
    wrong = {row["input"].lower() for row in rows if cli_intent.parse(row["input"])[0] != row["output"]}
    only_the_known = wrong == {text.lower() for text, _, _ in FAULTS}
    found = (len(rows), len(rows) - len(wrong), only_the_known)
    assert found == (18, 15, True)  # rows of the test set are not shown when this fails


@pytest.mark.parametrize(("text", "right", "said"), FAULTS)
def test_the_documented_faults_are_kept(cli_intent: ModuleType, text: str, right: str, said: str) -> None:
    answer, confidence = cli_intent.parse(text)
    assert answer == {"type": said} != {"type": right}
    assert confidence >= 0.9  # they were overconfident, too


@pytest.mark.parametrize("text", ["/help", "/", "/model list", "/does-not-exist --now"])
def test_a_slash_is_a_command(cli_intent: ModuleType, text: str) -> None:
    assert cli_intent.parse(text) == ({"type": "command"}, 1.0)


MANY = " ".join(["word"] * 51)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (MANY[:-5] + " " + "word " * 5, 0.2),  # base .4, more than 50 words -.2
        ("one two three four five six seven eight nine ten eleven", 0.4),
        ("some words", 0.5),  # up to 10 words +.1
        ("some words ?", 0.7),  # +.2
        ("explain closures", 0.8),  # indicator +.3
        ("what is a closure?", 0.95),  # .4 + .3 + .2 + .1, held to .95
        ("write a haiku", 0.9),  # simple code request +.4
        ("write a haiku into poem.txt", 0.1),  # a file: no simple request, -.4
        ("some words in poem.txt that are long enough to lose the tenth", 0.1),  # held to .1
    ],
)
def test_prompt_score(cli_intent: ModuleType, text: str, score: float) -> None:
    assert cli_intent.prompt_score(text) == score


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("some words", 0.3),
        ("some words that are six long", 0.4),
        (" ".join(["word"] * 16), 0.5),
        (" ".join(["word"] * 31), 0.6),
        ("refactor this", 0.6),  # opens with an action verb +.3
        ("now refactor this", 0.45),  # an action verb elsewhere +.15
        ("look at main.py", 0.7),  # file +.4
        ("this, then that", 0.6),  # several steps +.3
        ("fix main.py and then run the tests", 0.95),
    ],
)
def test_workflow_score(cli_intent: ModuleType, text: str, score: float) -> None:
    assert cli_intent.workflow_score(text) == score


@pytest.mark.parametrize(
    "text", ["open src/main", "read the file", "setup.cfg.py", "in the tests/ part", "Node.js"]
)
def test_names_a_file(cli_intent: ModuleType, text: str) -> None:
    assert cli_intent.names_file(text)


@pytest.mark.parametrize("text", ["open the door", "version 2.5", "profiler", "e.g. this"])
def test_names_no_file(cli_intent: ModuleType, text: str) -> None:
    assert not cli_intent.names_file(text)


def test_the_rules_are_a_baseline_and_no_oracle(cli_intent: ModuleType) -> None:
    rows = rows_of("cli-intent")
    hits = sum(cli_intent.parse(row["input"])[0] == row["output"] for row in rows)
    assert 0.5 < hits / len(rows) < 0.9
