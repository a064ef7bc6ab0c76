"""The README says nothing that is not there: its commands, options, Python names, folders and links."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import microlith
from microlith.cli.reference import entries

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
KNOWN = {
    one.path: {part for option in one.options for part in option.shown.replace(",", "").split()}
    for one in entries()
}


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """Every `microlith ...` that the README shows, without comments."""
    shown = [*"\n".join(blocks("sh")).splitlines(), *re.findall(r"`(microlith [^`]+)`", README)]
    return sorted({line.partition("  #")[0].strip() for line in shown if line.startswith("microlith ")})


@pytest.mark.parametrize("command", commands())
def test_commands_and_options_exist(command: str) -> None:
    words = command.split()
    path = " ".join(words[:3]) if " ".join(words[:3]) in KNOWN else " ".join(words[:2])
    assert path in KNOWN, command
    assert {word for word in words if word.startswith("--")} <= KNOWN[path]


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_python_names_exist() -> None:
    code = "\n".join(blocks("python"))
    ast.parse(code)
    names = set(re.findall(r"microlith\.([A-Za-z_]+)", code))
    assert names
    assert names <= set(microlith.__all__)


def test_the_tree_names_folders_that_are_there_and_all_packages() -> None:
    tree = README.partition("## Where things are")[2]
    named = set(re.findall(r"^  ([a-z]+)/ ", tree, re.MULTILINE))
    packages = {
        path.name
        for path in (ROOT / "src" / "microlith").iterdir()
        if path.is_dir() and path.name[0] not in "_."
    }
    assert named == packages


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in "\n".join(blocks("sh"))
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
