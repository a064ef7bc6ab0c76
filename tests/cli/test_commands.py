"""Every command through the real command line, on a small task and the linear recipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from microlith.cli.boundary import run
from microlith.cli.demo import REQUESTS
from microlith.task import load_task
from tests.workflow.conftest import write_task


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task; the linear recipe is trained in it once."""
    folder = tmp_path_factory.mktemp("shop")
    write_task(folder / "people")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MICROLITH_HOME", str(folder / "home"))
        assert run(["train", "people", "--recipe", "linear", "--set", "refill=2"]) == 0
    return folder


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop as the working directory."""
    monkeypatch.chdir(shop)
    monkeypatch.setenv("MICROLITH_HOME", str(shop / "home"))
    return shop


def result(capsys: pytest.CaptureFixture[str]) -> Any:
    """The one JSON object on standard output."""
    return json.loads(capsys.readouterr().out)


def test_train_says_what_it_made_and_what_to_type_next(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "people", "--recipe", "linear", "--set", "refill=2"]) == 0
    shown = capsys.readouterr()
    assert "nothing has changed: reused people@1 (linear" in shown.out
    assert "microlith ask people" in shown.out
    assert "= train      people@1: rows, schema and settings are unchanged" in shown.err


def test_train_as_json_gives_card_and_evaluations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "people", "--recipe", "linear", "--set", "refill=2", "--json"]) == 0
    facts = result(capsys)
    assert facts["reused"] is True
    assert facts["card"]["kind"] == "linear"
    assert [one["model"] for one in facts["evaluations"]] == ["linear", "rules"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train", "people", "--set", "nonsense=1"], 2, "no setting 'nonsense'"),
        (["train", "people", "--set", "batch_size"], 2, "--set takes key=value"),
        (
            ["train", "people", "--recipe", "lira"],
            2,
            "choose one of auto, encoder, linear, nearest, scratch, full, lora, qlora",
        ),
        (["export", "people", "-o", "out", "--type", "q8_0"], 2, "is no language model but linear"),
        (["export", "people", "-o", "people"], 2, "holds something already"),
        (["export", "people", "-o", "out", "--model", "rules"], 2, "copy rules.py"),
        (["export", "people", "-o", "out", "--model", "generative"], 6, "no generative model of people"),
        (["train", "nobody"], 3, "no task 'nobody'"),
        (["evaluate", "people", "--fail-under", "exakt=1"], 2, "did you mean exact"),
        (["evaluate", "people", "--test", "absent.jsonl"], 4, "absent.jsonl"),
        (["compare", "people", "linear"], 2, "cannot be compared with itself"),
        (["ask", "people@7", "x"], 6, "no version '7'"),
        (["ask", "people", "x", "--model", "encoder"], 6, "no encoder model of people"),
        (["models", "show", "people@7"], 6, "no version '7'"),
        (["demo", "--task", "people"], 2, "there is no demo of 'people'"),
        (["new", "People", "--from", "people/data/train.jsonl"], 2, "People"),
        (["lint", "absent.json"], 3, "absent.json"),
        (["data", "import", "people", "absent.jsonl"], 4, "absent.jsonl"),
        (
            ["data", "generate", "people", "-o", "x.jsonl", "--teacher", "http://x"],
            2,
            "a teacher needs its model's name",
        ),
    ],
)
def test_what_cannot_work_says_so_with_its_exit_code(
    arguments: list[str], code: int, told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    shown = capsys.readouterr()
    assert told in shown.err
    assert "Traceback" not in shown.err


def test_evaluate_shows_tables_writes_the_page_and_passes_the_gate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "people", "--report", "page.html", "--fail-under", "valid=1.0"]) == 0
    assert "Whole answer exact" in capsys.readouterr().out
    assert (here / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_missed_gate_leaves_with_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "people", "--model", "rules", "--fail-under", "exact=0.99", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["evaluations"][0]["model"] == "rules"
    assert json.loads(shown.err.splitlines()[-1])["error"]["kind"] == "GateFailed"


def test_compare_pairs_the_models(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "people", "--json"]) == 0
    facts = result(capsys)
    assert [pair["reference"] for pair in facts["comparison"]["pairs"]] == ["rules"]


def test_models_are_listed_and_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 0
    assert "people@1" in capsys.readouterr().out
    assert run(["models", "show", "people"]) == 0
    shown = capsys.readouterr().out
    assert "files      4, verified" in shown
    assert "threshold  149 held-out rows are needed for 2 %, there are " in shown
    assert run(["models", "list", "nobody"]) == 0
    assert "nothing was trained" in capsys.readouterr().out


def test_ask_answers_from_what_was_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "people", "please enrol zoe now", "--json"]) == 0
    row = result(capsys)
    assert row["model"] == "people@1"
    assert load_task("people").validator.is_valid(row["output"])


def test_lint_lists_every_keyword_and_the_decisions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "people"]) == 0
    shown = capsys.readouterr().out
    assert "x-source" in shown
    assert "0 rejected" in shown
    assert "Span" in shown


def test_lint_leaves_with_3_and_names_what_is_rejected(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.json").write_text(
        '{"type": "object",\n "properties": {"a": {"enum": [1, 2], "maxLenght": 3}}}'
    )
    assert run(["lint", "bad.json", "--json"]) == 3
    shown = capsys.readouterr()
    facts = json.loads(shown.out)
    assert facts["accepted"] is False
    assert [one["keyword"] for one in facts["findings"] if one["status"] == "rejected"] == ["maxLenght"]
    assert "bad.json:2" in json.loads(shown.err)["error"]["problems"][0]["place"]


def test_new_makes_a_task_that_lints(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "staff", "--from", "people/data/train.jsonl", "--test", "people/data/test.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "microlith train staff" in shown
    assert run(["lint", "staff", "--brief"]) == 0


def test_data_check_of_a_task_and_of_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", "people"]) == 0
    assert "38 good rows, 0 mistakes" in capsys.readouterr().out
    (here / "rows.jsonl").write_text('{"input": "a", "output": {}}\nbroken\n')
    assert run(["data", "check", "rows.jsonl", "--json"]) == 4
    shown = capsys.readouterr()
    assert json.loads(shown.out)["rows"] == 1
    assert json.loads(shown.out)["bad"][0]["place"] == "rows.jsonl:2"


def test_data_split_export_and_generate_write_whole_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "split", "people", "--validation", "0.2", "--json"]) == 0
    assert result(capsys)["sizes"]["test"] == 3
    assert run(["data", "export", "people", "-o", "out", "--format", "sharegpt", "--refill", "0"]) == 0
    assert {path.name for path in (here / "out").iterdir()} >= {"train.jsonl", "test.jsonl", "lineage.jsonl"}
    assert run(["data", "generate", "people", "-o", "made.jsonl", "--count", "20"]) == 0
    assert len((here / "made.jsonl").read_text().splitlines()) == 20


def test_doctor_says_what_is_well(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) in (0, 1)
    facts = result(capsys)
    artifacts = [one for one in facts["findings"] if one["name"] == "artifacts"]
    assert [one["status"] for one in artifacts] == ["ok"]


@pytest.mark.parametrize("pack", REQUESTS)
def test_the_demos_requests_stand_in_no_file_of_rows(pack: str) -> None:
    task = load_task(pack)
    files = [*task.train_files, *task.validation_files, *([task.test_file] if task.test_file else [])]
    known = {
        json.loads(line)["input"].casefold()
        for file in files
        for line in file.read_text("utf-8").splitlines()
    }
    assert [request for request in REQUESTS[pack] if request.casefold() in known] == []
    assert len(REQUESTS[pack]) == 10


def test_the_command_module_runs_as_a_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from microlith.__main__ import main

    monkeypatch.setattr(sys, "argv", ["microlith", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("microlith ")


def test_print_config_gives_toml_and_trains_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    before = sorted((here / "home").rglob("*"))
    assert run(["train", "people", "--recipe", "scratch", "--set", "layers=3", "--print-config"]) == 0
    values = tomllib.loads(capsys.readouterr().out)["recipe"]
    assert (values["name"], values["layers"], values["size"]) == ("scratch", 3, "standard")
    assert sorted((here / "home").rglob("*")) == before


def test_export_copies_what_is_no_language_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "people", "-o", "copied", "--json"]) == 0
    facts = result(capsys)
    assert (facts["model"], facts["proof"]) == ("people@1", None)
    assert {path.name for path in (here / "copied").iterdir()} >= {"card.json", "linear.npz"}


def test_a_promoted_version_is_live_and_a_missing_one_changes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "promote", "people", "latest"]) == 0
    assert "people@1 is live" in capsys.readouterr().out
    assert run(["models", "promote", "people", "9"]) == 6
    assert "people has no version '9'" in capsys.readouterr().err
    assert run(["models", "promote", "people", "1", "--json"]) == 0
    assert result(capsys) == {"task": "people", "live": 1, "before": 1}
