"""A Modelfile is read back as Ollama reads it, and its template gives the very prompt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import StorageError, UsageError
from microlith.export.modelfile import modelfile, write_ollama_folder
from microlith.inference.prompt import Prompt

INSTRUCTION = 'You turn a request into JSON.\nAnswer like {"a": {{1}}} or "".'


def _prompt(before: str, after: str = "<|im_end|>\n<|im_start|>assistant\n", instruction: str = "") -> Prompt:
    return Prompt(
        before=(1,),
        after=(2,),
        end=3,
        before_text=before,
        after_text=after,
        end_text="<|im_end|>",
        instruction=instruction,
    )


def _read(text: str) -> list[tuple[str, str]]:
    """Commands of a Modelfile. Source: Ollama's parser/parser.go, `ParseFile` and `unquote`."""
    found, place = [], 0
    while place < len(text):
        command, _, rest = text[place:].partition(" ")
        place += len(command) + 1
        if command == "PARAMETER":
            name, _, rest = rest.partition(" ")
            command, place = name, place + len(name) + 1
        end = place
        while True:
            end = text.index("\n", end)
            value = _unquoted(text[place:end].strip())
            end += 1
            if value is not None:
                break
        found.append((command, value))
        place = end
    return found


def _unquoted(text: str) -> str | None:
    if text.startswith('"""'):
        return text[3:-3] if len(text) >= 6 and text.endswith('"""') else None
    if text.startswith('"'):
        return text[1:-1] if len(text) >= 2 and text.endswith('"') else None
    return text


def _filled(template: str, **fields: str) -> str:
    """What Go's text/template makes of actions that print a field or a text."""

    def printed(action: re.Match[str]) -> str:
        inner = action[1].strip()
        if inner.startswith("."):
            return fields[inner[1:]]
        quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', inner)
        assert quoted, inner
        return quoted[1].replace('\\"', '"')

    # Go takes the first two braces that it meets, and the action ends at the first two that close outside a text
    return re.sub(r'\{\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}\}', printed, template)


def _values(text: str, command: str) -> list[str]:
    return [value for name, value in _read(text) if name == command]


def test_the_system_message_holds_the_instruction() -> None:
    prompt = _prompt(
        f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\n", instruction=INSTRUCTION
    )
    text = modelfile(prompt, num_ctx=2048)
    assert _values(text, "SYSTEM") == [INSTRUCTION]
    template = _values(text, "TEMPLATE")[0]
    assert template == (
        "<|im_start|>system\n{{ .System }}<|im_end|>\n<|im_start|>user\n{{ .Prompt }}<|im_end|>\n"
        "<|im_start|>assistant\n{{ .Response }}"
    )


def test_parameters_make_answers_repeatable() -> None:
    text = modelfile(
        _prompt("a"), num_ctx=2048, stops=["<|endoftext|>", "<|im_end|>"], parameters={"seed": 1}
    )
    assert _values(text, "FROM") == ["./model.gguf"]
    assert _values(text, "stop") == ["<|im_end|>", "<|endoftext|>"]
    assert (_values(text, "num_ctx"), _values(text, "temperature"), _values(text, "seed")) == (
        ["2048"],
        ["0"],
        ["1"],
    )
    assert "ADAPTER" not in text


def test_a_model_that_knows_its_job_has_no_system_message() -> None:
    text = modelfile(_prompt("<|im_start|>user\n"), num_ctx=2048)
    assert _values(text, "SYSTEM") == []
    assert _values(text, "TEMPLATE")[0].startswith("<|im_start|>user\n{{ .Prompt }}")


def test_an_adapter_stands_beside_its_base() -> None:
    text = modelfile(_prompt("a"), num_ctx=512, model="qwen3:0.6b", adapter="./adapter.gguf")
    assert text.startswith("FROM qwen3:0.6b\nADAPTER ./adapter.gguf\n")


def test_the_begin_token_is_left_to_ollama() -> None:
    text = modelfile(_prompt("<s>[INST] ", " [/INST]"), num_ctx=512, begin_text="<s>")
    assert _values(text, "TEMPLATE") == ["[INST] {{ .Prompt }} [/INST]{{ .Response }}"]


NASTY = st.text(st.sampled_from(list('{}"\\ \na.-`$')), max_size=30)


@given(NASTY, NASTY, NASTY, NASTY)
def test_any_prompt_comes_back(head: str, instruction: str, tail: str, after: str) -> None:
    before = head + instruction + tail
    text = modelfile(_prompt(before, after, instruction), num_ctx=512)
    system = (_values(text, "SYSTEM") or [""])[0]
    template = _values(text, "TEMPLATE")[0]
    assert _filled(template, System=system, Prompt="REQUEST", Response="") == f"{before}REQUEST{after}"


def test_an_instruction_that_a_modelfile_would_cut_stands_in_the_template() -> None:
    instruction = 'Write """\nand more'
    text = modelfile(_prompt(f"S {instruction} U ", instruction=instruction), num_ctx=512)
    assert _values(text, "SYSTEM") == []
    assert _filled(_values(text, "TEMPLATE")[0], Prompt="x", Response="").startswith(f"S {instruction} U x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_ctx": 0}, "num_ctx=0"),
        ({"num_ctx": 1, "model": "a\nSYSTEM b"}, "cannot stand in a Modelfile"),
        ({"num_ctx": 1, "stops": ['"""\nx']}, "three quotation marks"),
    ],
)
def test_values_that_cannot_stand_in_a_modelfile_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        modelfile(_prompt("a"), **values)  # type: ignore[arg-type]


def test_the_folder_holds_all_that_ollama_create_takes(tmp_path: Path) -> None:
    model, adapter = tmp_path / "lights.gguf", tmp_path / "lora.gguf"
    model.write_bytes(b"GGUF model")
    adapter.write_bytes(b"GGUF adapter")
    for _ in range(2):
        written = write_ollama_folder(tmp_path / "out", model, "FROM ./model.gguf\n", adapter=adapter)
    assert written.read_text(encoding="utf-8") == "FROM ./model.gguf\n"
    assert {path.name: path.read_bytes() for path in written.parent.glob("*.gguf")} == {
        "model.gguf": b"GGUF model", "adapter.gguf": b"GGUF adapter",
    }  # fmt: skip


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match="out"):
        write_ollama_folder(tmp_path / "out", tmp_path / "absent.gguf", "")
