"""The four shapes in which a row of training data comes: native, Alpaca, ShareGPT and chat messages.

Each shape has a reader, which turns a parsed JSON object into an `Example` or says what is wrong with it, and a
writer, which turns an `Example` back. Only the native shape keeps everything; the other three keep request and
answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from microlith.data.example import Example
from microlith.data.strict_json import NotStrictJson, loads
from microlith.task.plan import Json

if TYPE_CHECKING:
    from microlith.task.taskfile import Task

RowFormat = Literal["native", "alpaca", "sharegpt", "chat"]
Render = Callable[[Json], str]
"""Turns an input that is not text into text."""

ROW_FORMATS: tuple[RowFormat, ...] = ("native", "alpaca", "sharegpt", "chat")
NATIVE_KEYS = ("input", "output", "source", "group", "weight", "verified", "parents", "made_by")


class BadRow(ValueError):
    """A row that cannot become an example: what is wrong with it and how to mend it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


def format_of(row: Json) -> RowFormat | None:
    """The shape of a parsed row by its keys; None where it has none of the four."""
    if not isinstance(row, Mapping):
        return None
    if "messages" in row:
        return "chat"
    if "conversations" in row:
        return "sharegpt"
    if "instruction" in row:
        return "alpaca"
    return "native" if "input" in row or "output" in row else None


def parse_row(
    row: Json, *, source: str, render: Render | None = None
) -> tuple[Example, RowFormat, tuple[str, ...]]:
    """Turn a parsed row into an example.

    Args:
        row: What a line of the file says.
        source: `file:line`, unless the row names its own.
        render: Turns an input that is not text into text; None to refuse such inputs.

    Returns:
        The example, the row's shape, and the keys that were not used.

    Raises:
        BadRow: if it cannot become an example.
    """
    shape = format_of(row)
    if shape is None:
        raise BadRow(
            f"the row has none of the known keys: {_shown(row)}",
            'give it "input" and "output", or use the Alpaca, ShareGPT or chat-messages form',
        )
    request, output, used = _READERS[shape](row, render)
    unused = tuple(key for key in row if key not in used)
    return _example(row if shape == "native" else {}, request, output, source), shape, unused


def render_row(example: Example, shape: RowFormat, *, instruction: str = "") -> dict[str, Json]:
    """An example as a row of the given shape.

    Args:
        example: The row to write.
        shape: One of `ROW_FORMATS`; all but "native" leave out source, group, weight and verification.
        instruction: The task's instruction: Alpaca's `instruction`, else a system turn; none where empty.
    """
    return _WRITERS[shape](example, instruction)


def render_input(value: Json, private: Iterable[str] = ()) -> str:
    """A JSON input as text: one `path: value` line per scalar, in the order given; text stays as it is.

    Args:
        value: What a row or a caller gives.
        private: Paths, e.g. `person.name`, that are left out with everything below them.
    """
    if isinstance(value, str):
        return value
    hidden = tuple(private)
    return "\n".join(line for line in _lines(value, "") if not (hidden and _is_below(line, hidden)))


def renderer(task: Task) -> Render | None:
    """What turns the structured requests of a task into text; None where requests are text."""
    return partial(render_input, private=task.private) if task.input_kind == "json" else None


def _is_below(line: str, paths: Iterable[str]) -> bool:
    return any(line.startswith(path) and line[len(path) : len(path) + 1] in (":", ".", "[") for path in paths)


def _lines(value: Json, path: str) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [
            line
            for key, item in value.items()
            for line in _lines(item, f"{path}.{key}" if path else str(key))
        ]
    if isinstance(value, list) and value:
        return [line for index, item in enumerate(value) for line in _lines(item, f"{path}[{index}]")]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [f"{path}: {text}" if path else text]


# ------------------------------------------------------------------------------------------------------ readers

_Read = tuple[str, Json, tuple[str, ...]]


def _native(row: Mapping[str, Any], render: Render | None) -> _Read:
    for key in ("input", "output"):
        if key not in row:
            raise BadRow(f'the row has no "{key}"', f'add "{key}"; it has {", ".join(map(repr, row))}')
    return _text(row["input"], '"input"', render), row["output"], NATIVE_KEYS


def _alpaca(row: Mapping[str, Any], render: Render | None) -> _Read:
    if "output" not in row:
        raise BadRow('the Alpaca row has no "output"', 'add "output" with the answer as JSON')
    given = row.get("input")
    request = row["instruction"] if given is None or given == "" else given
    name = '"instruction"' if given is None or given == "" else '"input"'
    return (
        _text(request, name, render),
        _answer(row["output"], '"output"'),
        ("instruction", "input", "output"),
    )


def _sharegpt(row: Mapping[str, Any], render: Render | None) -> _Read:
    return *_dialogue(row["conversations"], "conversations", ("from", "value"), render), ("conversations",)


def _chat(row: Mapping[str, Any], render: Render | None) -> _Read:
    return *_dialogue(row["messages"], "messages", ("role", "content"), render), ("messages",)


_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
}  # fmt: skip


def _dialogue(turns: Json, name: str, keys: tuple[str, str], render: Render | None) -> tuple[str, Json]:
    """The last user turn before the last assistant turn, and that turn's answer; system turns are left out."""
    if not isinstance(turns, list):
        raise BadRow(
            f'"{name}" is {_shown(turns)}, not a list of turns',
            f'write "{name}": [{{"{keys[0]}": ..., "{keys[1]}": ...}}]',
        )
    spoken = [_turn(turn, number, name, keys) for number, turn in enumerate(turns)]
    answers = [number for number, (role, _) in enumerate(spoken) if role == "assistant"]
    if not answers:
        raise BadRow(f'"{name}" has no assistant turn', "end it with a turn that holds the answer as JSON")
    asked = [content for role, content in spoken[: answers[-1]] if role == "user"]
    if not asked:
        raise BadRow(f'"{name}" has no user turn before the answer', "put the request into a user turn")
    where = f"{name}[{answers[-1]}].{keys[1]}"
    return _text(asked[-1], f"the user turn of {name}", render), _answer(spoken[answers[-1]][1], where)


def _turn(turn: Json, number: int, name: str, keys: tuple[str, str]) -> tuple[str, Json]:
    if not isinstance(turn, Mapping) or keys[0] not in turn or keys[1] not in turn:
        raise BadRow(f"{name}[{number}] is {_shown(turn)}", f'each turn needs "{keys[0]}" and "{keys[1]}"')
    role = _ROLES.get(str(turn[keys[0]]).lower())
    if role is None:
        raise BadRow(
            f"{name}[{number}] has the unknown {keys[0]} {turn[keys[0]]!r}", f"use one of {', '.join(_ROLES)}"
        )
    return role, _content(turn[keys[1]], f"{name}[{number}].{keys[1]}")


def _content(content: Json, where: str) -> Json:
    """The text of a turn; a list of text parts is joined."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise BadRow(f"{where} holds parts that are not text", "keep only parts of type text")
    return "".join(str(text) for text in texts)


def _text(value: Json, name: str, render: Render | None) -> str:
    if not isinstance(value, str) and render is None:
        mend = 'write it as a string, or set the task\'s input kind to "json"'
        raise BadRow(f"{name} is {_shown(value)}, not text", mend)
    text = value if isinstance(value, str) or render is None else render(value)
    if "\0" in text:
        raise BadRow(f"{name} holds a NUL character", "remove it")
    return str(text)


def _answer(value: Json, where: str) -> Json:
    """An answer that a foreign format keeps as text, perhaps in a Markdown fence."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text.split("\n", 1)[1].rsplit("```", 1)[0]
    try:
        return loads(text)
    except NotStrictJson as error:
        raise BadRow(f"{where} is not JSON: {error.what}", "write the answer as one JSON object") from None


def _example(row: Mapping[str, Any], request: str, output: Json, source: str) -> Example:
    """An example of request and answer with what a native row says about itself."""
    weight, verified = row.get("weight", 1.0), row.get("verified", False)
    if (
        isinstance(weight, bool)
        or not isinstance(weight, int | float)
        or not (math.isfinite(weight) and weight > 0)
    ):
        raise BadRow(f'"weight" is {_shown(weight)}', "use a number above 0")
    if not isinstance(verified, bool):
        raise BadRow(f'"verified" is {_shown(verified)}', "use true or false")
    for key in ("source", "group", "made_by"):
        if not isinstance(row.get(key), str | None):
            raise BadRow(f'"{key}" is {_shown(row[key])}', "use a string")
    parents = row.get("parents", [])
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise BadRow(f'"parents" is {_shown(parents)}', "use a list of strings")
    return Example(
        input=request, output=output, source=row.get("source") or source, group=row.get("group"),
        weight=float(weight), verified=verified, parents=tuple(parents), made_by=row.get("made_by"),
    )  # fmt: skip


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


_READERS: dict[RowFormat, Callable[[Mapping[str, Any], Render | None], _Read]] = {
    "native": _native,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "chat": _chat,
}


# ------------------------------------------------------------------------------------------------------ writers


def _to_native(example: Example, instruction: str) -> dict[str, Json]:
    row: dict[str, Json] = {"input": example.input, "output": example.output, "source": example.source}
    extra = {
        "group": example.group,
        "weight": example.weight if example.weight != 1.0 else None,
        "verified": example.verified or None,
        "parents": list(example.parents) or None,
        "made_by": example.made_by,
    }
    return row | {key: value for key, value in extra.items() if value is not None}


def _to_alpaca(example: Example, instruction: str) -> dict[str, Json]:
    return {
        "instruction": instruction if example.input else "",
        "input": example.input,
        "output": json.dumps(example.output, ensure_ascii=False),
    }


def _turns(
    example: Example, instruction: str, names: tuple[str, str, str], keys: tuple[str, str]
) -> list[Json]:
    system, user, assistant = names
    said = [(user, example.input), (assistant, json.dumps(example.output, ensure_ascii=False))]
    spoken = [(system, instruction), *said] if instruction else said
    return [{keys[0]: role, keys[1]: content} for role, content in spoken]


def _to_sharegpt(example: Example, instruction: str) -> dict[str, Json]:
    return {"conversations": _turns(example, instruction, ("system", "human", "gpt"), ("from", "value"))}


def _to_chat(example: Example, instruction: str) -> dict[str, Json]:
    return {"messages": _turns(example, instruction, ("system", "user", "assistant"), ("role", "content"))}


_WRITERS: dict[RowFormat, Callable[[Example, str], dict[str, Json]]] = {
    "native": _to_native,
    "alpaca": _to_alpaca,
    "sharegpt": _to_sharegpt,
    "chat": _to_chat,
}
