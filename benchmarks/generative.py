"""Speed of small language models: training from scratch beside the stock trainer, answering beside llama.cpp's own server.

    python -m benchmarks.generative [TASK]

Training: `transformers.Trainer` as it comes and with bf16, on the very network, rows and batch size of the scratch recipe (default task:
task-plan); tokens are those of rows, padding left out. Answering: the newest generative artifact of TASK, where there is one, beside
xllamacpp's `Server` with the same file, prompt and schema, and what it costs to read several tokens at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from microlith.data.load import load_examples, load_validation
from microlith.errors import MicrolithError
from microlith.inference.cores import usable_cores
from microlith.inference.generative import MODEL_FILE, PROMPT_FILE, GenerativeModel
from microlith.inference.grounding import spec_of
from microlith.inference.llama_cpp import LlamaFile
from microlith.inference.prompt import Pieces
from microlith.inference.spelling import Speller
from microlith.registry.models import open_model
from microlith.task.taskfile import Task, load_task
from microlith.training.answer_rows import token_rows
from microlith.training.scratch import ScratchRun, batched, prompt_of
from microlith.training.scratch_settings import ScratchSettings, scratch_settings_of
from microlith.training.scratch_tokenizer import train_tokenizer
from microlith.training.token_rows import TokenRow

STEPS, WARM_UP = 6, 2
"""Steps that are timed, after some that are not."""
TARGET = 3.0
"""Times the stock trainer's tokens a second."""
OWN, PEER = "microlith, held to the plan", "llama.cpp's server, held to the JSON Schema"
AHEAD = 2.0
"""Times as long as ours llama.cpp's server is to take for an answer."""
ANSWERS = 90
"""Requests that are answered at most, of the validation rows."""
ROUNDS = 6
"""Parts in which they are asked of each in turn, since a machine's speed changes by the minute."""


def rows_of(task: Task, settings: ScratchSettings) -> tuple[Pieces, list[TokenRow]]:
    """The task's rows as tokens, and what tokenized them."""
    examples = [row for row in load_examples(task).examples if row.made_by is None]
    speller = Speller(task.plan, spec_of(task.plan, []))
    texts = [text for row in examples for text in (row.input, *speller.spell(row.input, row.output))]
    tokenizer = train_tokenizer(texts, size=settings.vocabulary, longest=settings.longest_token)
    pieces = Pieces(tokenizer=tokenizer)
    return pieces, token_rows(speller, pieces, prompt_of(tokenizer), examples)[0]


def own_loop(settings: ScratchSettings, pieces: Pieces, rows: Sequence[TokenRow]) -> float:
    """Tokens a second of the scratch recipe's own steps."""
    with tempfile.TemporaryDirectory() as folder:
        run = ScratchRun(
            settings, pieces, prompt_of(pieces.tokenizer), [[row] for row in rows], [], Path(folder)
        )
        batches = batched(rows, settings.batch_tokens, Random(0))
        return _timed(
            [
                (lambda batch=batch, step=step: run.update(step + 1, batch), batch)
                for step, batch in enumerate(batches)
            ]
        )


def _timed(steps: Sequence[tuple[Callable[[], Any], Sequence[TokenRow]]]) -> float:
    begun, tokens = 0.0, 0
    for number in range(WARM_UP + STEPS):
        step, batch = steps[number % len(steps)]
        if number == WARM_UP:
            begun = time.perf_counter()
        step()
        if number >= WARM_UP:
            tokens += sum(len(row.ids) for row in batch)
    return tokens / (time.perf_counter() - begun)


def stock_loop(settings: ScratchSettings, pieces: Pieces, rows: Sequence[TokenRow], *, bf16: bool) -> float:
    """Tokens a second of `transformers.Trainer`: AdamW, rows in random order, padded to the longest of a batch."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_utils import set_seed

    set_seed(0)
    torch.set_num_threads(usable_cores())
    config = LlamaConfig(
        vocab_size=pieces.tokenizer.get_vocab_size(), hidden_size=settings.width, num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads, num_key_value_heads=settings.heads, intermediate_size=settings.inner,
        max_position_embeddings=settings.context_tokens, tie_word_embeddings=True,
    )  # fmt: skip
    size = max(1, settings.batch_tokens // max(1, round(statistics.mean(len(row.ids) for row in rows))))
    seen: list[int] = []

    def collate(batch: Sequence[TokenRow]) -> dict[str, Any]:
        width = max(len(row.ids) for row in batch)
        padded = [[*row.ids, *([0] * (width - len(row.ids)))] for row in batch]
        labels = [
            [-100] * row.answer_from + list(row.ids[row.answer_from :]) + [-100] * (width - len(row.ids))
            for row in batch
        ]
        mask = [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in batch]
        seen.append(sum(len(row.ids) for row in batch))
        return {
            "input_ids": torch.tensor(padded),
            "labels": torch.tensor(labels),
            "attention_mask": torch.tensor(mask),
        }

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=size, max_steps=WARM_UP + STEPS, bf16=bf16, use_cpu=True, save_strategy="no",
            logging_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False, learning_rate=1e-3,
        )  # fmt: skip
        trainer = Trainer(
            model=LlamaForCausalLM(config),
            args=arguments,
            train_dataset=list(rows),
            data_collator=collate,
            callbacks=[Clock()],
        )
        trainer.train()
    tokens = seen[: WARM_UP + STEPS]
    return sum(tokens[WARM_UP:]) / (ends[-1] - ends[WARM_UP - 1])


def answering(task: Task) -> None:
    """Milliseconds an answer: ours, free, and llama.cpp's own server held to the schema.

    No request comes twice, since the server remembers what it has read. It has a process of its own.
    """
    artifact = open_model(str(task.folder), "generative").artifact
    assert artifact is not None
    rows = load_validation(task).examples or load_examples(task).examples
    requests = [row.input for row in rows[:: max(1, len(rows) // ANSWERS)][:ANSWERS]]
    count = max(1, min(ROUNDS, len(requests) // 3))
    rounds = [requests[begin::count] for begin in range(count)]
    model = GenerativeModel.load(artifact.folder)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        spent: dict[str, list[float]] = {OWN: [], "the same file, free": [], PEER: []}
        for some in rounds:
            spent[OWN] += _timed_answers(lambda one: model.predict([one]), some)
            spent["the same file, free"] += _timed_answers(model.free, some)
            spent[PEER] += apart.submit(_timed_by_server, artifact.folder, task.schema.value, some).result()
    own, theirs = statistics.median(spent[OWN]), statistics.median(spent[PEER])
    print(f"{artifact.card.name}: an answer on one core, median of {len(spent[OWN])} requests")
    for name, took in spent.items():
        print(f"{name:44}{statistics.median(took):9.1f} ms{statistics.median(took) / own:8.2f}")
    print(f"target {AHEAD:g} times: {'met' if theirs / own >= AHEAD else 'missed'}")
    print(f"tokens read at a time: {_reading(artifact.folder)}")


def _reading(folder: Path) -> str:
    """Milliseconds of reading several tokens at a time after a hundred others: what forced text in one go can save."""
    file = LlamaFile.open(folder / MODEL_FILE, n_ctx=256)
    ids = [Random(0).randrange(file.vocabulary_size) for _ in range(116)]
    file.read(ids[:100], 0)
    told = []
    for count in (1, 2, 4, 8, 16):
        spent = []
        for _ in range(20):
            file.forget(100)
            begun = time.perf_counter()
            file.read(ids[100 : 100 + count], 100)
            spent.append(1000 * (time.perf_counter() - begun))
        told.append(f"{count}: {statistics.median(spent):.2f} ms")
    return ", ".join(told)


def _timed_answers(answer: Callable[[str], Any], requests: Sequence[str]) -> list[float]:
    """Milliseconds of every request but the first, which wakes the machine up."""
    answer(requests[0])
    spent = []
    for request in requests[1:]:
        begun = time.perf_counter()
        answer(request)
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


def _timed_by_server(folder: Path, schema: dict[str, Any], requests: Sequence[str]) -> list[float]:
    """The same of llama.cpp's server, in the process that this runs in."""
    return _timed_answers(_server(folder, json.dumps(schema)), requests)


@lru_cache(maxsize=1)
def _server(folder: Path, schema: str) -> Callable[[str], Any]:
    """llama.cpp's own server in this process, asked for JSON of a schema."""
    import xllamacpp

    stored = json.loads((folder / PROMPT_FILE).read_text(encoding="utf-8"))
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / MODEL_FILE)
    params.n_ctx, params.n_parallel = stored["context_tokens"], 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = 0  # it would tell of every request
    running = xllamacpp.Server(params)
    grammar = xllamacpp.json_schema_to_grammar(schema)
    prompt = stored["prompt"]

    def ask(request: str) -> Any:
        return running.handle_completions(
            {
                "prompt": prompt["before_text"] + request + prompt["after_text"], "temperature": 0, "n_predict": 512,
                "grammar": grammar, "stop": [prompt["end_text"]], "cache_prompt": True,
            }
        )  # fmt: skip

    return ask


def main(name: str = "task-plan") -> None:
    """Print both tables."""
    training(name)
    try:
        answering(load_task(name))
    except MicrolithError as error:
        print(f"answering: skipped; {error}")


def training(name: str) -> None:
    """Tokens a second of the scratch recipe and of the stock trainer."""
    task, settings = load_task(name), scratch_settings_of()
    pieces, rows = rows_of(task, settings)
    print(
        f"{name}: training {settings.parameters / 1e6:.1f} million weights on {usable_cores()} cores, {len(rows):,} rows"
    )
    own = own_loop(settings, pieces, rows)
    print(f"{'scratch recipe':44}{own:9,.0f} tokens/s")
    for bf16 in (False, True):
        theirs = stock_loop(settings, pieces, rows, bf16=bf16)
        what = "transformers.Trainer" + (" with bf16" if bf16 else " as it comes")
        met = "" if bf16 else f"   (target {TARGET:g}: {'met' if own / theirs >= TARGET else 'missed'})"
        print(f"{what:44}{theirs:9,.0f} tokens/s{own / theirs:8.2f}{met}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
