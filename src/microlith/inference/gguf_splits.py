"""llama.cpp's names of the ways in which byte-level tokenizers split a text into words before they merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from microlith.errors import ArtifactError

_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SLASH_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LOWER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
LLAMA3 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
QWEN2 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
QWEN35 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = rf"{_LOWER_WORD}{_SHORT}?|{_UPPER_WORD}{_SHORT}?|\p{{N}}{{1,3}}|{_SLASH_REST}"
TEKKEN = rf"{_LOWER_WORD}|{_UPPER_WORD}|\p{{N}}|{_SLASH_REST}"
_Steps = tuple[tuple[str, ...], ...]
_BYTES, _GPT2_WORDS = ("bytes",), ("words",)
_NAMES: Mapping[tuple[_Steps, bool], str] = {
    ((("split", LLAMA3), _BYTES), True): "llama-bpe",
    ((("split", LLAMA3), _BYTES), False): "dbrx",
    ((("split", QWEN2), _BYTES), False): "qwen2",
    ((("split", QWEN35), _BYTES), False): "qwen35",
    ((("split", GPT4O), _BYTES), False): "gpt-4o",
    ((("split", TEKKEN), _BYTES), True): "tekken",
    ((("digits",), _GPT2_WORDS), False): "smollm",
    ((_GPT2_WORDS,), False): "gpt-2",
}
"""Steps of a pre-tokenizer, and does a word that is a token stay whole (`ignore_merges`)? -> llama.cpp's name.

Source: `llm_tokenizer_bpe` in llama.cpp's src/llama-vocab.cpp, which holds the original patterns as comments.
"""


def split_name(data: Mapping[str, Any], *, place: str) -> str:
    """llama.cpp's name of the pre-tokenizer that a tokenizer.json describes.

    Args:
        data: The parsed tokenizer.json of a byte-level tokenizer.
        place: Where it lies, for the error.

    Raises:
        ArtifactError: if llama.cpp has no such splitting.
    """
    steps = tuple(_steps(data.get("pre_tokenizer")))
    whole = bool(data["model"].get("ignore_merges"))
    found = _NAMES.get((steps, whole))
    if found is None:
        raise ArtifactError(
            f"llama.cpp has no name for this splitting into words: {steps}, ignore_merges {whole}", place=place,
            mend=f"choose a base that splits as {', '.join(_NAMES.values())} do",
        )  # fmt: skip
    return found


def pre_tokenizer(name: str) -> tuple[dict[str, Any], bool] | None:
    """`split_name` the other way round: the pre-tokenizer as tokenizer.json describes it, and its `ignore_merges`.

    None for a name that is not known here.
    """
    return next(
        ((_described(steps), whole) for (steps, whole), known in _NAMES.items() if known == name), None
    )


def _described(steps: _Steps) -> dict[str, Any]:
    parts = [_PARTS[kind](*values) for kind, *values in steps]
    return parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


_PARTS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "split": lambda pattern: {
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False,
    },
    "digits": lambda: {"type": "Digits", "individual_digits": True},
    "words": lambda: _byte_level(use_regex=True),
    "bytes": lambda: _byte_level(use_regex=False),
}  # fmt: skip


def _steps(described: Mapping[str, Any] | None) -> Iterator[tuple[str, ...]]:
    kind = (described or {}).get("type")
    if described is None:
        return
    if kind == "Sequence":
        for inner in described["pretokenizers"]:
            yield from _steps(inner)
    elif kind == "Split" and _keeps_all(described):
        yield "split", str(described["pattern"].get("Regex"))
    elif kind == "Digits" and described.get("individual_digits"):
        yield ("digits",)
    elif kind == "ByteLevel" and not described.get("add_prefix_space"):
        yield _GPT2_WORDS if described.get("use_regex", True) else _BYTES
    else:
        yield "other", str(dict(described))


def _keeps_all(split: Mapping[str, Any]) -> bool:
    """Is every match of the pattern a word, and nothing dropped? Two spellings say so."""
    return (split.get("behavior"), bool(split.get("invert"))) in (("Isolated", False), ("Removed", True))
