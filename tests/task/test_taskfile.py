from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import MicrolithError, SchemaError, TaskError, TaskFileError, UnknownTask
from microlith.task.packs import pack_folder, packs
from microlith.task.taskfile import load_task

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["a", "b"]}},
    "required": ["kind"],
    "additionalProperties": False,
}
TOML = 'name = "mine"\ninstruction = "Sort it."\n'


def make(folder: Path, toml: str = TOML, schema: Any = SCHEMA, **files: str) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(toml, encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps(schema, indent=1), encoding="utf-8")
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_dot_", ".")).write_text(text, encoding="utf-8")
    return folder


def broken(folder: Path) -> list[str]:
    with pytest.raises(MicrolithError) as caught:
        load_task(folder)
    return [str(problem) for problem in caught.value.problems]


def test_a_short_task_gets_defaults(tmp_path: Path) -> None:
    task = load_task(make(tmp_path, data__train_dot_jsonl=""))
    assert (task.name, task.instruction, task.input_kind, task.recipe) == ("mine", "Sort it.", "text", "auto")
    assert (task.error_budget, task.settings, task.route) == (0.02, {}, ("specialist", "rules"))
    assert task.train_files == (tmp_path / "data" / "train.jsonl",)
    assert task.test_file is None
    assert task.rules is None
    assert [row[0] for row in task.plan.decisions] == ["kind"]
    assert task.validator.is_valid({"kind": "a"})


def test_every_key_is_read(tmp_path: Path) -> None:
    toml = (
        'name = "mine"\ninstruction = "Sort."\ninput = "json"\nschema = "out.json"\nroute = ["rules"]\n'
        '[data]\ntrain = ["a*.jsonl", "b.jsonl"]\ntest = "t.jsonl"\n'
        '[recipe]\nname = "encoder"\nsize = 2\nlearning_rate = 2e-4\nfreeze = true\nbase = "x/y"\n'
        "[error_budget]\nmax_wrong = 0.1\n"
    )
    make(tmp_path, toml, a2_dot_jsonl="", a1_dot_jsonl="", b_dot_jsonl="", t_dot_jsonl="")
    (tmp_path / "schema.json").rename(tmp_path / "out.json")
    task = load_task(tmp_path)
    assert [path.name for path in task.train_files] == ["a1.jsonl", "a2.jsonl", "b.jsonl"]
    assert task.test_file == tmp_path / "t.jsonl"
    assert task.settings == {"size": 2, "learning_rate": 2e-4, "freeze": True, "base": "x/y"}
    assert (task.input_kind, task.recipe, task.error_budget, task.route) == (
        "json",
        "encoder",
        0.1,
        ("rules",),
    )
    assert task.schema.name == "out.json"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('name = "My Task"', "task.toml:1: name is 'My Task'"),
        ("name = 3", "task.toml:1: name is 3"),
        ('naem = "x"', "task.toml:1: unknown key 'naem' -> did you mean 'name'?"),
        ('input = "xml"', "task.toml:1: input is 'xml'"),
        ("[data]\ntrian = []", "task.toml:2: unknown key 'data.trian' -> did you mean 'train'?"),
        ("[data]\ntrain = []", "task.toml:2: data.train is []"),
        ('[data]\ntest = "no.jsonl"', "task.toml:2: no.jsonl is missing"),
        ('[data]\ntrain = ["no*.jsonl"]', "task.toml:2: no file matches 'no*.jsonl'"),
        ('[recipe]\nname = "magic"', "task.toml:2: recipe.name is 'magic'"),
        ("[recipe]\nlayers = [1]", "task.toml:2: recipe.layers is [1]"),
        ("[error_budget]\nmax_wrong = 2", "task.toml:2: error_budget.max_wrong is 2"),
        (
            "[error_budgte]\nmax_wrong = 0.1",
            "task.toml:1: unknown key 'error_budgte' -> did you mean 'error_budget'?",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    rest = "\n".join(row for row in TOML.splitlines() if row.split(" ")[0] != line.split(" ")[0])
    toml = f"{line}\n{rest}" if not line.startswith("[") else line
    found = broken(make(tmp_path, toml))
    assert any(one.startswith(problem) for one in found), found


def test_missing_keys_are_named(tmp_path: Path) -> None:
    assert broken(make(tmp_path, "")) == [
        'task.toml:1: name is missing -> add: name = "my-task" (lower-case letters, digits, - and _)',
        'task.toml:1: instruction is missing -> add: instruction = "What the job is, in a sentence."',
    ]


def test_everything_wrong_comes_at_once_the_schema_included(tmp_path: Path) -> None:
    toml = 'name = mine\ninstruction = ""\n[error_budget]\nmax_wrong = 3\n'
    found = broken(make(tmp_path, toml, {"type": "object", "properties": {"a": {}, "b": {"enum": []}}}))
    places = [one.split(": ")[0].split(" ")[0] for one in found]
    assert places == ["task.toml:1", "task.toml:2", "task.toml:4", "schema.json:4", "schema.json:6"]


def test_a_wrong_schema_alone_is_a_schema_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="an empty enum"):
        load_task(make(tmp_path, schema={"type": "object", "properties": {"b": {"enum": []}}}))


def test_missing_data_and_wrong_schema_come_together(tmp_path: Path) -> None:
    found = broken(make(tmp_path, TOML + '[data]\ntest = "no.jsonl"', {"type": "string"}))
    assert len(found) == 2


def test_a_test_file_is_never_trained_on(tmp_path: Path) -> None:
    make(
        tmp_path, TOML + '[data]\ntrain = ["data/*.jsonl"]\ntest = "data/test.jsonl"', data__test_dot_jsonl=""
    )
    assert "task.toml:5: data/test.jsonl is also a file to train on" in broken(tmp_path)[0]


def test_validation_files_are_read_and_kept_apart(tmp_path: Path) -> None:
    toml = TOML + '[data]\ntrain = ["data/*.jsonl"]\nvalidation = ["held*.jsonl"]'
    make(tmp_path, toml, data__a_dot_jsonl="", held2_dot_jsonl="", held1_dot_jsonl="")
    assert [path.name for path in load_task(tmp_path).validation_files] == ["held1.jsonl", "held2.jsonl"]
    for patterns, problem in (
        ('["data/a.jsonl"]', "task.toml:5: a.jsonl is also a file to train on"),
        ('["no.jsonl"]', "task.toml:5: no file matches 'no.jsonl'"),
    ):
        make(tmp_path, toml.replace('["held*.jsonl"]', patterns))
        assert problem in broken(tmp_path)[0]


def test_other_encodings_are_refused_and_a_byte_order_mark_is_not(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "task.toml").write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert load_task(tmp_path).name == "mine"
    (tmp_path / "task.toml").write_bytes(TOML.encode() + b"# \xe9t\xe9\n")
    assert broken(tmp_path) == ["task.toml:3: byte 0xe9 is not UTF-8 -> save the file as UTF-8"]


def test_a_missing_schema_is_named(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "schema.json").unlink()
    assert "schema.json is missing" in broken(tmp_path)[0]


# ------------------------------------------------------------------------------------------- finding a task


@pytest.mark.parametrize("pack", packs())
def test_every_pack_loads(pack: str) -> None:
    task = load_task(pack)
    assert task.name == pack
    assert task.folder == pack_folder(pack)
    assert task.train_files
    assert task.test_file is not None
    assert task.test_file not in task.train_files


def test_a_folder_below_the_working_directory_comes_before_a_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "infra")
    monkeypatch.chdir(tmp_path)
    assert load_task("infra").name == "mine"


def test_a_folder_without_a_task_file_does_not_hide_a_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "infra").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_task("infra").name == "infra"


def test_the_task_file_itself_names_its_task(tmp_path: Path) -> None:
    assert load_task(make(tmp_path) / "task.toml").name == "mine"


def test_an_unknown_task_is_met_with_the_known_ones() -> None:
    with pytest.raises(UnknownTask, match="did you mean 'infra'") as caught:
        load_task("infar")
    assert "cli-intent" in str(caught.value)


def test_a_folder_without_a_task_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"no task\.toml"):
        load_task(tmp_path)


# ------------------------------------------------------------------------------------------- rules


def test_rules_are_loaded_when_asked_for(tmp_path: Path) -> None:
    task = load_task(make(tmp_path, rules_dot_py="def parse(text):\n    return {'kind': text}\n"))
    assert task.rules is not None
    assert task.rules("a") == {"kind": "a"}


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("x = 1\n", "has no function parse"),
        ("x = 1\ny = x +\n", "rules.py:2"),
        ("x = 1\ny = z\n", "rules.py:2"),
    ],
)
def test_rules_that_cannot_be_loaded_are_named_with_their_line(
    tmp_path: Path, code: str, problem: str
) -> None:
    task = load_task(make(tmp_path, rules_dot_py=code))
    with pytest.raises(TaskError, match=problem):
        _ = task.rules


def test_private_paths_are_read_and_there_are_none_by_default(tmp_path: Path) -> None:
    assert load_task(make(tmp_path / "a")).private == ()
    named = 'private = ["person.name", "notes"]\n'
    assert load_task(make(tmp_path / "b", named + TOML)).private == ("person.name", "notes")


@pytest.mark.parametrize("value", ['"person"', "[1]", '[""]'])
def test_private_is_a_list_of_paths(tmp_path: Path, value: str) -> None:
    assert any("private" in problem for problem in broken(make(tmp_path, f"private = {value}\n" + TOML)))
