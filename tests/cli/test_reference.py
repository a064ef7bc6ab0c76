"""Nothing that a person may type is undocumented."""

from __future__ import annotations

from pathlib import Path

import pytest

from microlith.cli.reference import Entry, entries, reference

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
ENTRIES = [one for one in entries() if one.path != "microlith"]
COMMANDS = [
    one for one in ENTRIES if one.path not in ("microlith data", "microlith models", "microlith keys")
]


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: make docs"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda one: one.path)
def test_every_command_and_option_has_words(entry: Entry) -> None:
    assert len(entry.help) > 20
    for parameter in (*entry.arguments, *entry.options):
        assert len(parameter.help) > 5, f"{entry.path} {parameter.shown}"
        assert "None" not in parameter.shown


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda one: one.path)
def test_every_command_shows_an_example_and_takes_json(entry: Entry) -> None:
    examples = entry.help.partition("Examples:")[2]
    assert entry.path in examples
    assert "--json" in {option.shown for option in entry.options}


def test_every_option_of_an_example_exists() -> None:
    for entry in COMMANDS:
        known = {part for option in entry.options for part in option.shown.replace(",", "").split()}
        for line in entry.help.partition("Examples:")[2].splitlines():
            if entry.path in line:
                used = {word for word in line.partition(entry.path)[2].split() if word.startswith("--")}
                assert used <= known, line


def test_the_page_would_notice_a_new_command() -> None:
    assert "## microlith nonsense" not in reference()
    assert "## microlith predict" in reference()
