"""A task folder, read whole: task.toml, schema.json, where its data lies, its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from microlith.errors import Problem, SchemaError, TaskError, TaskFileError
from microlith.task.jsontext import read_text
from microlith.task.linter import plan_of
from microlith.task.own_code import load_module
from microlith.task.packs import TASK_FILE, pack_folder, packs, unknown_task
from microlith.task.plan import Json, Plan
from microlith.task.schema import SchemaDocument, load_schema
from microlith.task.tomltext import TomlText, parse_toml
from microlith.task.validate import Validator

Rules = Callable[[str], dict[str, Json] | None]
"""A task's own function: an answer to a request, or None where it has none."""

Setting = bool | int | float | str
_Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Data(_Strict):
    train: list[_Text] = Field(default=["data/train*.jsonl"], min_length=1)
    validation: list[_Text] = []
    test: _Text | None = None


class _Recipe(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, Setting]
    name: Literal["auto", "encoder", "linear", "nearest", "scratch", "full", "lora", "qlora"] = "auto"


class _ErrorBudget(_Strict):
    max_wrong: float = Field(default=0.02, gt=0, le=1)


class _General(_Strict):
    base_url: _Text | None = None
    model: _Text | None = None
    timeout_s: float = Field(default=20.0, gt=0, le=600)
    price_in: float = Field(default=0.0, ge=0)
    price_out: float = Field(default=0.0, ge=0)
    examples: int = Field(default=4, ge=0, le=50)
    documents: list[_Text] = []


class _Serve(_Strict):
    deadline_s: float = Field(default=10.0, gt=0, le=600)
    turns: int = Field(default=0, ge=0, le=50)


class _TaskFile(_Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    instruction: _Text
    input: Literal["text", "json"] = "text"
    private: list[_Text] = []
    schema_file: _Text = Field(default="schema.json", alias="schema")
    route: list[Literal["rules", "specialist", "general", "nearest"]] = Field(
        default=["specialist", "rules"], min_length=1, max_length=8
    )
    data: _Data = _Data()
    recipe: _Recipe = Field(default_factory=lambda: _Recipe.model_validate({}))
    error_budget: _ErrorBudget = _ErrorBudget()
    general: _General = _General()
    serve: _Serve = _Serve()


@dataclass(frozen=True, kw_only=True)
class General:
    """The larger model that a task falls back on, as its task.toml names it."""

    base_url: str | None = None
    """Of an OpenAI-compatible interface; None for the server's."""
    model: str | None = None
    """Its name there; None for the server's."""
    timeout_s: float = 20.0
    """Longest wait for one answer, above 0."""
    price_in: float = 0.0
    """Money for a million tokens that it reads."""
    price_out: float = 0.0
    """Money for a million tokens that it writes."""
    examples: int = 4
    """Labelled rows that it is shown, those nearest to the request."""
    documents: tuple[Path, ...] = ()
    """Text files of which it is shown the nearest passages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One narrow job: what comes in, what goes out, and what is needed to learn it."""

    name: str
    instruction: str
    """What the job is, in words; generative models and teachers are told so."""
    input_kind: Literal["text", "json"]
    folder: Path
    """Where task.toml lies."""
    schema: SchemaDocument
    plan: Plan
    train_files: tuple[Path, ...]
    """Files of rows to train on, sorted; empty where there are none yet."""
    validation_files: tuple[Path, ...]
    """Files of rows, like the traffic to come, that confidence is fitted on and nothing is trained on; sorted."""
    test_file: Path | None
    """Rows that only the final score may read; None where there are none."""
    private: tuple[str, ...] = ()
    """Paths of a structured request, e.g. `person.name`, that are taken out before any model or data set sees it."""
    recipe: str = "auto"
    error_budget: float = 0.02
    """Largest share of the specialist's given answers that may be wrong, above 0; 1 gives every valid answer."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """The rest of `[recipe]`: `size` and overrides of the recipe's values."""
    route: tuple[str, ...] = ("specialist", "rules")
    """Stages to ask in turn: "rules", "specialist", "general", "nearest"."""
    general: General = General()
    """What the stage "general" asks."""
    deadline_s: float = 10.0
    """Longest time to an answer over the whole route, above 0."""
    turns: int = 0
    """Earlier turns of a conversation that belong to a request; 0 for none."""

    @cached_property
    def validator(self) -> Validator:
        """The compiled schema."""
        return Validator(self.schema.value)

    @cached_property
    def rules(self) -> Rules | None:
        """`parse` of the folder's rules.py, loaded when first asked for; None where there is no rules.py.

        Raises:
            TaskError: if rules.py cannot be loaded or has no function `parse`.
        """
        path = self.folder / "rules.py"
        return _parse_of(load_module(path, self.name), path) if path.is_file() else None


def load_task(name_or_folder: str | Path) -> Task:
    """Read a task: a folder, else a folder of that name below the working directory, else a pack.

    Raises:
        UnknownTask: if there is neither.
        TaskFileError: if task.toml is wrong, with every mistake in it and in the schema.
        SchemaError: if only the schema is wrong.
    """
    folder = _folder(name_or_folder)
    parsed = parse_toml(read_text(folder / TASK_FILE, error=TaskFileError), name=TASK_FILE)
    file, problems = _checked(parsed)
    data = _data_files(folder, parsed, problems)
    if file is None:
        problems += _schema_problems(folder, parsed)
        raise TaskFileError(f"{folder / TASK_FILE} is wrong", problems=problems)
    try:
        document = load_schema(folder / file.schema_file)
        plan = plan_of(document)
    except SchemaError as error:
        if not problems:
            raise
        problems.extend(error.problems)
    general = _general(folder, file.general, parsed, problems)
    if problems:
        raise TaskFileError(f"{folder / TASK_FILE} is wrong", problems=problems)
    return Task(
        name=file.name,
        instruction=file.instruction.strip(),
        input_kind=file.input,
        private=tuple(file.private),
        folder=folder,
        schema=document,
        plan=plan,
        train_files=data.train,
        validation_files=data.validation,
        test_file=data.test,
        recipe=file.recipe.name,
        error_budget=file.error_budget.max_wrong,
        settings=dict(file.recipe.__pydantic_extra__),
        route=tuple(file.route),
        general=general,
        deadline_s=file.serve.deadline_s,
        turns=file.serve.turns,
    )


def _folder(name_or_folder: str | Path) -> Path:
    path = Path(name_or_folder)
    if path.name == TASK_FILE and path.is_file():
        return path.parent
    if (path / TASK_FILE).is_file():
        return path
    if str(name_or_folder) in packs():
        return pack_folder(str(name_or_folder))
    if path.is_dir() and isinstance(name_or_folder, Path):
        raise TaskFileError(f"the folder has no {TASK_FILE}", place=str(path), mend="make one: microlith new")
    raise unknown_task(str(name_or_folder))


# -------------------------------------------------------------------------------------------- task.toml


def _checked(parsed: TomlText) -> tuple[_TaskFile | None, list[Problem]]:
    problems = list(parsed.problems)
    try:
        file = _TaskFile.model_validate(parsed.value)
    except ValidationError as error:
        broken = bool(problems)
        problems += [
            _problem(entry, parsed) for entry in error.errors() if not (broken and entry["type"] == "missing")
        ]
        return None, problems
    return (None if problems else file), problems


def _problem(entry: Any, parsed: TomlText) -> Problem:
    path = tuple(str(part) for part in entry["loc"] if not isinstance(part, int))
    path = tuple(part for part in path if part not in ("bool", "int", "float", "str"))
    name = ".".join(path)
    place = f"{TASK_FILE}:{_line(path, parsed)}"
    if entry["type"] == "missing":
        return Problem(
            what=f"{name} is missing", place=place, mend=f"add: {_HINTS.get(name, name + ' = ...')}"
        )
    if entry["type"] == "extra_forbidden":
        return Problem(what=f"unknown key {name!r}", place=place, mend=_meant(path))
    message = str(entry["msg"])
    what = f"{name} is {entry['input']!r}: {message[:1].lower()}{message[1:]}"
    return Problem(what=what, place=place, mend=_HINTS.get(name))


_HINTS = {
    "name": 'name = "my-task" (lower-case letters, digits, - and _)',
    "instruction": 'instruction = "What the job is, in a sentence."',
    "input": 'input = "text" or "json"',
    "private": 'private = ["person.name"]',
    "schema": 'schema = "schema.json"',
    "data.train": 'train = ["data/train*.jsonl"]',
    "recipe.name": 'name = "auto"',
    "error_budget.max_wrong": "max_wrong = 0.02 (a share above 0, at most 1)",
    "route": 'route = ["specialist", "rules"]',
}


def _line(path: tuple[str, ...], parsed: TomlText) -> int:
    while path and path not in parsed.lines:
        path = path[:-1]
    return parsed.lines.get(path, 1)


def _meant(path: tuple[str, ...]) -> str:
    fields: Mapping[str, FieldInfo] = _TaskFile.model_fields
    tables: dict[str, type[BaseModel]] = {
        "data": _Data,
        "error_budget": _ErrorBudget,
        "general": _General,
        "serve": _Serve,
    }
    if len(path) > 1 and path[0] in tables:
        fields = tables[path[0]].model_fields
    known = [info.alias or key for key, info in fields.items()]
    close = get_close_matches(path[-1], known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _schema_problems(folder: Path, parsed: TomlText) -> list[Problem]:
    """What is wrong with the schema too, while task.toml is being mended anyway."""
    name = parsed.value.get("schema", "schema.json")
    try:
        plan_of(load_schema(folder / str(name)))
    except SchemaError as error:
        return list(error.problems)
    return []


# -------------------------------------------------------------------------------------------- data and rules


@dataclass(frozen=True, kw_only=True)
class _Files:
    """What `[data]` names."""

    train: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()
    test: Path | None = None


def _data_files(folder: Path, parsed: TomlText, problems: list[Problem]) -> _Files:
    """The files that `[data]` names; what is wrong with them is added to `problems`."""
    try:
        data = _Data.model_validate(parsed.value.get("data", {}))
    except ValidationError:
        return _Files()  # told already, with the rest of task.toml
    train = _found(folder, "train", data.train, parsed, problems)
    validation = _found(folder, "validation", data.validation, parsed, problems)
    test = folder / data.test if data.test else None
    place = f"{TASK_FILE}:{_line(('data', 'test'), parsed)}"
    if test is not None and not test.is_file():
        mend = "put the test rows there, or leave test out"
        problems.append(Problem(what=f"{data.test} is missing", place=place, mend=mend))
    if test is not None and test in {*train, *validation}:
        use, other = ("train on", "train") if test in train else ("validate on", "validation")
        problems.append(
            Problem(what=f"{data.test} is also a file to {use}", place=place, mend=f"narrow {other}")
        )
    for path in sorted({*train} & {*validation}):
        where = f"{TASK_FILE}:{_line(('data', 'validation'), parsed)}"
        problems.append(
            Problem(what=f"{path.name} is also a file to train on", place=where, mend="narrow train")
        )
    return _Files(train=train, validation=validation, test=test)


def _general(folder: Path, given: _General, parsed: TomlText, problems: list[Problem]) -> General:
    """What `[general]` says; files that it names in vain are added to `problems`."""
    documents: set[Path] = set()
    for pattern in given.documents:
        matched = list(_matching(folder, pattern))
        documents.update(matched)
        if not matched:
            place = f"{TASK_FILE}:{_line(('general', 'documents'), parsed)}"
            problems.append(
                Problem(
                    what=f"no file matches {pattern!r}", place=place, mend="put texts there, or leave it out"
                )
            )
    return General(**{**given.model_dump(), "documents": tuple(sorted(documents))})


def _found(
    folder: Path, part: str, patterns: Iterable[str], parsed: TomlText, problems: list[Problem]
) -> tuple[Path, ...]:
    """Files that match the patterns of one part, sorted; a pattern without any is added to `problems`."""
    found: set[Path] = set()
    for pattern in patterns:
        matched = list(_matching(folder, pattern))
        found.update(matched)
        if not matched and ("data", part) in parsed.lines:
            place = f"{TASK_FILE}:{_line(('data', part), parsed)}"
            mend = "put rows there, or name another file"
            problems.append(Problem(what=f"no file matches {pattern!r}", place=place, mend=mend))
    return tuple(sorted(found))


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    if Path(pattern).is_absolute():
        found: Iterable[Path] = [Path(pattern)]
    else:
        try:
            found = list(folder.glob(pattern))
        except ValueError:  # e.g. "**a", which is no pattern
            found = []
    yield from (path for path in found if path.is_file())


def _parse_of(module: ModuleType, path: Path) -> Rules:
    parse = getattr(module, "parse", None)
    if not callable(parse):
        raise TaskError(
            "rules.py has no function parse", place=str(path), mend="def parse(text: str) -> dict | None: ..."
        )
    found: Rules = parse
    return found
