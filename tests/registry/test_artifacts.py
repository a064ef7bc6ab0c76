from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import ArtifactError, StorageError, UsageError
from microlith.registry import (
    Artifact,
    aliases,
    draft,
    list_artifacts,
    open_artifact,
    resolve,
    set_alias,
)
from microlith.registry.folders import PART
from tests.registry.conftest import FACTS, SCHEMA, WHEN, register


def parts(root: Path) -> list[Path]:
    return [path for path in (root / "artifacts").rglob("*") if path.name.startswith(PART)]


def test_versions_count_from_one(tmp_path: Path) -> None:
    assert [register(tmp_path).card.version for _ in range(3)] == [1, 2, 3]
    assert register(tmp_path, task="other").card.version == 1
    assert parts(tmp_path) == []


def test_it_opens_as_it_was_registered(tmp_path: Path, artifact: Artifact) -> None:
    opened = open_artifact("mood", schema=SCHEMA, root=tmp_path)
    assert opened == artifact
    assert (opened.folder / "tokenizer" / "vocab.txt").read_text(encoding="utf-8") == "a b c"
    assert json.loads((opened.folder / "schema.json").read_text(encoding="utf-8")) == SCHEMA


def test_equal_files_are_one_artifact_hash(tmp_path: Path) -> None:
    first, second, third = register(tmp_path), register(tmp_path), register(tmp_path, {"model.onnx": "other"})
    assert first.card.artifact_hash == second.card.artifact_hash != third.card.artifact_hash


# --------------------------------------------------------------------------------------------- not registered


def test_a_draft_that_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    with draft("mood", SCHEMA, root=tmp_path) as made:
        (made.folder / "model.onnx").write_text("x", encoding="utf-8")
    assert list_artifacts(root=tmp_path) == ()
    assert parts(tmp_path) == []


def test_an_error_inside_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with draft("mood", SCHEMA, root=tmp_path) as made:
            (made.folder / "model.onnx").write_text("x", encoding="utf-8")
            raise KeyError("training went wrong")

    with pytest.raises(KeyError):
        fail()
    assert parts(tmp_path) == []


def test_no_files_are_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no files"), draft("mood", SCHEMA, root=tmp_path) as made:
        made.publish(FACTS, created=WHEN)


def test_a_draft_is_published_once(tmp_path: Path) -> None:
    with draft("mood", SCHEMA, root=tmp_path) as made:
        (made.folder / "model.onnx").write_text("x", encoding="utf-8")
        made.publish(FACTS, created=WHEN)
        with pytest.raises(UsageError, match="already published as mood@1"):
            made.publish(FACTS, created=WHEN)


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    with draft("mood", SCHEMA, root=tmp_path) as made:
        (made.folder / "model.onnx").write_text("x", encoding="utf-8")
        with pytest.raises(UsageError, match="no time zone"):
            made.publish(FACTS, created=datetime(2025, 1, 1))


def test_links_are_refused(tmp_path: Path) -> None:
    with draft("mood", SCHEMA, root=tmp_path) as made:
        (made.folder / "model.onnx").symlink_to("/etc/hostname")
        with pytest.raises(ArtifactError, match="is a link"):
            made.publish(FACTS, created=WHEN)


@pytest.mark.parametrize("where", ["fsync", "rename", "write"])
def test_a_full_disk_registers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    register(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {"fsync": (os, "fsync"), "rename": (Path, "rename"), "write": (Path, "write_text")}[where]
    with draft("mood", SCHEMA, root=tmp_path) as made:
        (made.folder / "model.onnx").write_bytes(b"x")
        monkeypatch.setattr(*target, full)
        with pytest.raises(StorageError, match="the disk is full"):
            made.publish(FACTS, created=WHEN)
    monkeypatch.undo()
    assert [one.version for one in list_artifacts("mood", root=tmp_path)] == [1]
    assert parts(tmp_path) == []


def test_a_disk_that_fills_up_while_a_model_is_written(tmp_path: Path) -> None:
    """A real refusal by the system: no file of this process may be larger than 100 kB."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from microlith.errors import StorageError; from microlith.registry import draft\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with draft('mood', {}, root=Path(sys.argv[1])) as made:\n"
        "        (made.folder / 'model.onnx').write_bytes(b'x' * 1_000_000)\n"
        "except StorageError as error: print(error)\n"
    )
    done = run(script, tmp_path)
    assert "larger than this process may write" in done
    assert parts(tmp_path) == []


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("x", encoding="utf-8")
    with pytest.raises(StorageError, match="a file stands where"):
        register(tmp_path)


def test_a_killed_writer_leaves_nothing_that_is_seen_and_is_cleared_away(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from microlith.registry import draft\n"
        "context = draft('mood', {}, root=Path(sys.argv[1])); made = context.__enter__()\n"
        "(made.folder / 'model.onnx').write_text('half'); os._exit(9)\n"
    )
    run(script, tmp_path, code=9)
    assert len(parts(tmp_path)) == 1
    assert list_artifacts(root=tmp_path) == ()
    assert register(tmp_path).card.version == 1
    assert parts(tmp_path) == []


# ------------------------------------------------------------------------------------------------- concurrency


def test_two_processes_lose_and_mix_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.registry.conftest import register\n"
        "for n in range(6): register(Path(sys.argv[1]), {'who': sys.argv[2], 'too': sys.argv[2]})\n"
    )
    running = [start(script, tmp_path, name) for name in ("ann", "bob")]
    for process in running:
        assert process.wait() == 0
    found = [open_artifact("mood", version, schema=SCHEMA, root=tmp_path) for version in range(1, 13)]
    writers = [{(one.folder / name).read_text(encoding="utf-8") for name in ("who", "too")} for one in found]
    assert sorted(who for (who,) in writers) == ["ann"] * 6 + ["bob"] * 6
    assert len(list_artifacts("mood", root=tmp_path)) == 12


def test_threads_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: register(tmp_path, {"who": str(n)}), range(12)))
    assert sorted(one.card.version for one in made) == list(range(1, 13))


# ------------------------------------------------------------------------------------------------------ damage


def test_a_changed_file_is_named_with_both_hashes(tmp_path: Path, artifact: Artifact) -> None:
    (artifact.folder / "model.onnx").write_text("weightz", encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        open_artifact("mood", root=tmp_path)
    (problem,) = caught.value.problems
    assert problem.place == str(artifact.folder / "model.onnx")
    assert artifact.card.files["model.onnx"][:12] in problem.what
    assert "models list" in (problem.mend or "")


def test_every_damage_is_told_at_once(tmp_path: Path, artifact: Artifact) -> None:
    (artifact.folder / "model.onnx").unlink()
    (artifact.folder / "tokenizer" / "vocab.txt").write_bytes(b"")
    (artifact.folder / "stray.bin").write_bytes(b"1")
    (artifact.folder / "link").symlink_to("model.onnx")
    with pytest.raises(ArtifactError, match="mood@1 is damaged") as caught:
        open_artifact("mood", root=tmp_path)
    told = " ".join(problem.what for problem in caught.value.problems)
    for part in (
        "model.onnx is missing",
        "vocab.txt was changed",
        "stray.bin does not belong",
        "link does not belong",
    ):
        assert part in told


def test_a_missing_card(tmp_path: Path, artifact: Artifact) -> None:
    (artifact.folder / "card.json").unlink()
    with pytest.raises(ArtifactError, match="the card cannot be read"):
        open_artifact("mood", root=tmp_path)
    (listed,) = list_artifacts("mood", root=tmp_path)
    assert listed.card is None
    assert "cannot be read" in (listed.problem or "")


def test_a_folder_copied_under_another_number_or_task(tmp_path: Path, artifact: Artifact) -> None:
    shutil.copytree(artifact.folder, artifact.folder.parent / "7")
    shutil.copytree(artifact.folder, tmp_path / "artifacts" / "other" / "1")
    for task, version in (("mood", 7), ("other", 1)):
        with pytest.raises(ArtifactError, match="the card is that of mood@1"):
            open_artifact(task, version, root=tmp_path)


# ------------------------------------------------------------------------------------------------------ schema


def test_another_schema_is_refused_with_what_changed(tmp_path: Path, artifact: Artifact) -> None:
    today = deepcopy(SCHEMA)
    today["properties"]["mood"]["enum"].append("none")
    today["title"] = "words do not count"
    with pytest.raises(ArtifactError, match="another schema") as caught:
        open_artifact("mood", schema=today, root=tmp_path)
    assert [problem.what for problem in caught.value.problems] == [
        '#/properties/mood/enum: was ["glad", "sad"], is ["glad", "sad", "none"]'
    ]
    assert "microlith train mood" in (caught.value.problems[0].mend or "")
    assert open_artifact("mood", root=tmp_path) == artifact


# ---------------------------------------------------------------------------------------------- names, aliases


def test_aliases(tmp_path: Path) -> None:
    for _ in range(3):
        register(tmp_path)
    assert aliases("mood", root=tmp_path) == {"latest": 3}
    assert set_alias("mood", "live", 2, root=tmp_path) == 2
    assert set_alias("mood", "before", "live", root=tmp_path) == 2
    assert aliases("mood", root=tmp_path) == {"latest": 3, "before": 2, "live": 2}
    assert [resolve("mood", one, root=tmp_path) for one in ("latest", "live", "2", 1)] == [3, 2, 2, 1]
    assert [one.aliases for one in list_artifacts("mood", root=tmp_path)] == [
        ("latest",),
        ("before", "live"),
        (),
    ]
    assert open_artifact("mood", "live", root=tmp_path).card.version == 2


@pytest.mark.parametrize("name", ["latest", "7", "../x", ""])
def test_names_that_no_alias_can_have(tmp_path: Path, artifact: Artifact, name: str) -> None:
    with pytest.raises(UsageError):
        set_alias("mood", name, 1, root=tmp_path)


@pytest.mark.parametrize("version", [2, "2", 0, "live", "nonsense"])
def test_what_there_is_not(tmp_path: Path, artifact: Artifact, version: str | int) -> None:
    with pytest.raises(ArtifactError):
        open_artifact("mood", version, root=tmp_path)


def test_no_artifacts_at_all(tmp_path: Path) -> None:
    assert list_artifacts(root=tmp_path) == ()
    assert list_artifacts("mood", root=tmp_path) == ()
    assert aliases("mood", root=tmp_path) == {}
    with pytest.raises(ArtifactError, match="no artifact of mood is registered") as caught:
        open_artifact("mood", root=tmp_path)
    assert caught.value.problems[0].mend == "microlith train mood"


def test_all_tasks_are_listed_the_newest_first(tmp_path: Path) -> None:
    for task in ("b", "a", "b"):
        register(tmp_path, task=task)
    assert [(one.task, one.version) for one in list_artifacts(root=tmp_path)] == [
        ("a", 1),
        ("b", 2),
        ("b", 1),
    ]


@pytest.mark.parametrize("task", ["../evil", "a/b", ""])
def test_a_task_stays_in_its_folder(tmp_path: Path, task: str) -> None:
    with pytest.raises(UsageError):
        open_artifact(task, root=tmp_path)
    with pytest.raises(UsageError), draft(task, SCHEMA, root=tmp_path):
        pass


def environment() -> dict[str, str]:
    top = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{top / 'src'}{os.pathsep}{top}"}


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def run(script: str, *arguments: object, code: int = 0) -> str:
    process = start(script, *arguments)
    out, _ = process.communicate()
    assert process.returncode == code
    return out
