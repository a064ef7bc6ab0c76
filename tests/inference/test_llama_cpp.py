"""llama.cpp in this process: the same logits however they are asked for."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from microlith.errors import ArtifactError, UsageError
from microlith.inference.guided import Reader
from microlith.inference.llama_cpp import LlamaFile
from tests.inference.tiny_gguf import gguf, pieces
from tests.odd_texts import ODD_TEXTS

IDS = [7, 40, 300, 12, 99, 250, 33, 180, 41, 42]
NAMES = ("llama", "qwen3", "gemma3", "mistral")


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaFile]:
    file = LlamaFile.open(gguf("llama"), n_ctx=256)
    yield file
    file.close()


@pytest.mark.parametrize("name", NAMES)
def test_reading_at_once_or_piece_by_piece_is_the_same(name: str) -> None:
    file = LlamaFile.open(gguf(name), n_ctx=256)
    whole = file.logits(IDS)
    assert whole.shape == (len(IDS), file.vocabulary_size)
    assert np.isfinite(whole).all()
    rng = random.Random(0)
    for _ in range(4):
        file.forget(0)
        begin = 0
        while begin < len(IDS):
            end = rng.randint(begin + 1, len(IDS))
            found = file.read(IDS[begin:end], begin)
            assert found.shape == (1, file.vocabulary_size)
            np.testing.assert_allclose(found[0], whole[end - 1], atol=2e-4)
            begin = end


@pytest.mark.parametrize("name", NAMES)
def test_what_was_forgotten_leaves_no_trace(name: str) -> None:
    file = LlamaFile.open(gguf(name), n_ctx=256)
    straight = file.logits(IDS)[-1]
    file.logits([*IDS[:4], 9, 9, 9, 9, 9])
    file.forget(4)
    np.testing.assert_allclose(file.read(IDS[4:], 4)[0], straight, atol=2e-4)


def test_what_cannot_be_forgotten_in_part_is_read_anew(
    llama: LlamaFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = llama.logits(IDS)[-1]
    llama.logits([*IDS[:6], 9, 9, 9])

    class Forgetful:
        """llama.cpp with a model whose memory cannot be cut."""

        def __getattr__(self, name: str) -> object:
            return (lambda *_: False) if name == "llama_memory_seq_rm" else getattr(library, name)

    library = llama._library
    monkeypatch.setattr(llama, "_library", Forgetful())
    llama.forget(6)
    np.testing.assert_allclose(llama.read(IDS[6:], 6)[0], straight, atol=2e-4)


def test_wanted_places_are_given_in_order(llama: LlamaFile) -> None:
    whole = llama.logits(IDS)
    llama.forget(0)
    np.testing.assert_allclose(llama.read(IDS, 0, wanted=[5, 0, 9]), whole[[5, 0, 9]], atol=1e-5)


def test_a_reader_gives_what_reading_straight_gives(llama: LlamaFile) -> None:
    reader, rng = Reader(llama), random.Random(1)
    said: list[int] = []
    for _ in range(40):
        if not said or rng.random() < 0.3:
            said = [*said[: rng.randrange(len(said) + 1)], *(rng.randrange(400) for _ in range(3))]
            reader.start(said)
        else:
            more = [rng.randrange(400) for _ in range(rng.randint(1, 3))]
            reader.add(more)
            said = [*said, *more]
        found = reader.next().copy()
        reader_held = list(reader._held)
        straight = llama.logits(said)[-1]
        np.testing.assert_allclose(found, straight, atol=2e-4)
        assert reader_held == said


def test_threads_change_nothing(llama: LlamaFile) -> None:
    other = LlamaFile.open(gguf("llama"), n_ctx=256, threads=2)
    np.testing.assert_allclose(other.logits(IDS), llama.logits(IDS), atol=2e-4)


def test_two_models_do_not_disturb_each_other() -> None:
    files = [LlamaFile.open(gguf(name), n_ctx=128) for name in ("llama", "qwen3")]
    expected = [file.logits(IDS) for file in files]
    found: list[np.ndarray | None] = [None, None]

    def run(place: int) -> None:
        for _ in range(10):
            found[place] = files[place].logits(IDS)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(expected, found, strict=True):
        assert other is not None
        np.testing.assert_array_equal(one, other)


def test_a_full_context_is_a_usage_error(llama: LlamaFile) -> None:
    llama.forget(0)
    for ids, begin in (([], 0), ([1] * 257, 0), ([1], 256)):
        with pytest.raises(UsageError, match="do not fit into 256"):
            llama.read(ids, begin)
    assert llama.read([1] * 256, 0).shape == (1, llama.vocabulary_size)


def test_a_token_that_there_is_not_is_an_error(llama: LlamaFile) -> None:
    llama.forget(0)
    with pytest.raises(ArtifactError, match="could not compute"):
        llama.read([llama.vocabulary_size + 3], 0)
    llama.logits(IDS)


def test_a_vocabulary_alone_tokenizes_and_reads_nothing() -> None:
    file = LlamaFile.open(gguf("llama"), vocab_only=True)
    assert file.tokenize("hello") == list(pieces("llama").ids("hello"))
    for call in (lambda: file.read([1], 0), lambda: file.forget(0), lambda: file.apply(gguf("llama"))):
        with pytest.raises(UsageError, match="vocabulary only"):
            call()


def test_a_closed_file_says_so() -> None:
    file = LlamaFile.open(gguf("llama"), n_ctx=64)
    file.logits(IDS)
    file.close()
    file.close()
    calls = (
        lambda: file.read([1], 0), lambda: file.forget(0), lambda: file.tokenize("a"), lambda: file.is_end(1),
        lambda: file.metadata("general.name"), lambda: file.apply(gguf("llama")),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(UsageError, match="closed"):
            call()


def test_metadata_is_read(llama: LlamaFile) -> None:
    assert llama.metadata("general.name") == "llama"
    assert llama.metadata("general.architecture") == "llama"
    assert llama.metadata("none.such") is None
    ends = [one for one in range(llama.vocabulary_size) if llama.is_end(one)]
    assert ends
    assert not set(ends) & set(pieces("llama").ids("hello"))


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_llama_cpp_cuts_texts_as_training_does(name: str) -> None:
    file, used = LlamaFile.open(gguf(name), vocab_only=True), pieces(name)
    for text in ODD_TEXTS:
        if text == normalize("NFC", text):  # llama.cpp does not normalize
            assert file.tokenize(text) == list(used.ids(text)), text


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("damage", ["absent", "empty", "half", "head", "text", "a folder"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str, *, adapter: bool) -> None:
    path, whole = tmp_path / "x.gguf", gguf("llama").read_bytes()
    content = {"empty": b"", "half": whole[: len(whole) // 2], "head": whole[:100], "text": b"hello" * 100}
    if damage in content:
        path.write_bytes(content[damage])
    elif damage == "a folder":
        path.mkdir()
    with pytest.raises(ArtifactError) as caught:
        if adapter:
            LlamaFile.open(gguf("llama"), n_ctx=64, adapter=path)
        else:
            LlamaFile.open(path)
    assert str(path) in str(caught.value)
    assert caught.value.problems[0].mend


def test_a_model_is_no_adapter() -> None:
    with pytest.raises(ArtifactError, match="cannot apply the adapter"):
        LlamaFile.open(gguf("llama"), n_ctx=64, adapter=gguf("llama"))


def test_a_damaged_tensor_table_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gguf("llama").read_bytes())
    path = tmp_path / "x.gguf"
    place = whole.index(b"blk.0.attn_q.weight")
    whole[place : place + 3] = b"xxx"
    path.write_bytes(whole)
    with pytest.raises(ArtifactError):
        LlamaFile.open(path)


def test_control_tokens_in_a_request_are_letters() -> None:
    used = pieces("llama")
    special = used.tokenizer.token_to_id("<|eot_id|>")
    ids = used.ids("stop <|eot_id|> now")
    assert special not in ids
    assert used.spell(ids) == "stop <|eot_id|> now"
