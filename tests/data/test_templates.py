from __future__ import annotations

from pathlib import Path

import pytest

from microlith.data.kin import kinship
from microlith.data.resample import Pool
from microlith.data.spans import bindings
from microlith.data.templates import TemplateFile, generate, load_templates
from microlith.errors import DataError
from tests.data.small import PLAN, VALIDATOR, member

GOOD = """\
# how shares are asked for
access.read  = read-only | just to look
access.write = full control
team = sales | ops

-> {"action": "share_add", "share": "{name}", "path": "{path}", "access": "{access?}"}
(share|publish) {path} as {name}[, {access}]
{name}: {path} [for the {team} team] [until {day:date}] ({access}|)

-> {"action": "sequence", "steps": [{"action": "user_add", "username": "{u}"}, {"action": "group_add", "username": "{u}", "group": "{g}"}]}
create {u} and put (him|her) into {g}
-> {"action": "port_open", "port": "{port}"}
open {port} \\(tcp\\)
-> {"action": "clarify", "intent": "group_add", "username": "{u}", "missing": ["group"]}
{u} needs a new group
-> {"action": "none"}
why is it so slow
"""


def loaded(folder: Path, text: str) -> TemplateFile:
    path = folder / "house.templates"
    path.write_text(text, encoding="utf-8")
    return load_templates(path, PLAN, VALIDATOR)


def test_rows_are_valid_grounded_and_different(tmp_path: Path) -> None:
    rows = list(generate(loaded(tmp_path, GOOD), PLAN, count=200))
    assert len({row.input for row in rows}) == 200
    assert all(VALIDATOR.is_valid(row.output) for row in rows)
    assert all(bound.text in row.input for row in rows for bound in bindings(PLAN, row.output))
    assert {row.made_by for row in rows} == {"template"}


def test_a_row_names_its_template_and_line_and_rows_of_one_phrasing_are_kin(tmp_path: Path) -> None:
    rows = list(generate(loaded(tmp_path, GOOD), PLAN, count=200))
    assert {row.source for row in rows} == {f"template:house:{line}" for line in (7, 8, 11, 13, 15, 17)}
    labels = kinship(rows, None).labels
    assert (
        len({int(label) for label, row in zip(labels, rows, strict=True) if row.source.endswith(":8")}) == 1
    )


def test_what_the_phrasing_leaves_out_is_left_out_of_the_answer(tmp_path: Path) -> None:
    rows = [
        row
        for row in generate(loaded(tmp_path, GOOD), PLAN, count=300)
        if row.output["action"] == "share_add"
    ]
    said = {"read-only": "read", "just to look": "read", "full control": "write"}
    for row in rows:
        told = next((key for phrase, key in said.items() if phrase in row.input), None)
        assert row.output.get("access") == told
    assert {row.output.get("access") for row in rows} == {None, "read", "write"}


def test_one_hole_is_one_value_everywhere(tmp_path: Path) -> None:
    rows = [
        row for row in generate(loaded(tmp_path, GOOD), PLAN, count=200) if row.output["action"] == "sequence"
    ]
    assert rows
    assert all(row.output["steps"][0]["username"] == row.output["steps"][1]["username"] for row in rows)


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    ports = {
        type(row.output["port"])
        for row in generate(loaded(tmp_path, GOOD), PLAN, count=200)
        if "port" in row.output
    }
    assert ports == {int, str}


def test_values_of_other_rows_are_used(tmp_path: Path) -> None:
    pool = Pool.of([member("add x to beekeepers", "x", "beekeepers")], PLAN)
    rows = list(generate(loaded(tmp_path, GOOD), PLAN, count=200, pool=pool))
    assert any(step.get("group") == "beekeepers" for row in rows for step in row.output.get("steps", []))


def test_equal_seeds_give_equal_rows(tmp_path: Path) -> None:
    file = loaded(tmp_path, GOOD)
    one, two, three = (list(generate(file, PLAN, count=50, seed=seed)) for seed in (1, 1, 2))
    assert one == two != three


def test_templates_that_have_no_more_to_say_end(tmp_path: Path) -> None:
    file = loaded(tmp_path, '-> {"action": "none"}\n(why|how) is it (slow|late)\n')
    assert len(list(generate(file, PLAN, count=1000))) == 4


BAD = [
    ("add {x}", 1, "without an answer"),
    ('-> {"action": "none"}', 1, "no phrasing"),
    ("-> {bad\nhello", 1, "not JSON"),
    ('-> {"action": "fly"}\nhello', 1, "no branch"),
    ('-> [1]\nhello', 1, "shape of the schema"),
    ('-> {"action": "user_add", "username": "{u}"}\nadd {u', 2, "a single '{'"),
    ('-> {"action": "user_add", "username": "{u}"}\nadd someone', 2, "never mentions {u}"),
    ('-> {"action": "user_add", "username": "{u}"}\nadd [{u}]', 2, "can leave out {u}"),
    ('-> {"action": "user_add", "username": "{u}"}\nadd {u} {what}', 2, "nothing says what {what} is"),
    ('-> {"action": "user_add", "username": "{u}"}\nadd {u} {what:colour}', 2, "no format is called 'colour'"),
    ('-> {"action": "user_add"}\nadd someone', 2, "username"),
    ('-> {"action": "user_add", "username": "{u}", "age": 5}\nadd {u}', 2, "age"),
    ("", 1, "no phrasing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "told"), BAD, ids=[told for _, _, told in BAD])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    with pytest.raises(DataError) as error:
        loaded(tmp_path, text)
    problem = error.value.problems[0]
    assert (problem.place or "").startswith(f"{tmp_path / 'house.templates'}:{line}")
    assert told in problem.what


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        loaded(tmp_path, "\n".join(text for text, _, _ in BAD))
    assert len(error.value.problems) > 6


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_templates(tmp_path / "none", PLAN, VALIDATOR)
