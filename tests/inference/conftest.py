"""Every backend that answers requests, made for the same small task; the contract tests run over all of them.

A new backend joins by one entry in `BACKENDS`: its name, and a function from a toy task to a model.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from microlith.export.encoder import export_encoder
from microlith.inference.encoder import EncoderModel
from microlith.inference.fake import FakeModel
from microlith.inference.generative import GenerativeModel
from microlith.inference.linear import LinearModel, fit_linear
from microlith.inference.nearest import NearestModel
from microlith.inference.protocol import Model
from microlith.inference.rules import RulesModel
from microlith.training.encoder import train_encoder
from microlith.training.settings import settings_of
from tests.inference.tiny_gguf import artifact
from tests.inference.toys import Toy, gate_rules, toy
from tests.tiny_base import make_tiny_base


def encoder(made: Toy) -> Model:
    """An encoder grown from a tiny base, exported, proven and loaded."""
    folder = Path(tempfile.mkdtemp(prefix="microlith-contract-"))
    base = make_tiny_base(folder / "base", [row.input for row in made.examples])
    overrides = {
        "base": str(base), "least_rows": 1200, "passes": 1, "batch_size": 16, "encoder_rate": 3e-3, "heads_rate": 1e-2,
        "threads": 1, "validations": 0,
    }  # fmt: skip
    work = train_encoder(made.plan, made.examples, [], settings_of("standard", overrides), folder)
    artifact = folder / "artifact"
    artifact.mkdir()
    while True:
        try:
            next(work)
        except StopIteration as stop:
            export_encoder(stop.value, made.examples, artifact)
            break
    model = EncoderModel.load(artifact)
    shutil.rmtree(folder)
    return model


def generative(made: Toy) -> Model:
    """A tiny language model that learnt nothing."""
    with tempfile.TemporaryDirectory(prefix="microlith-contract-") as folder:
        return GenerativeModel.load(artifact(made.plan, Path(folder)))


BACKENDS: dict[str, Callable[[Toy], Model]] = {
    "rules": lambda made: RulesModel(made.plan, gate_rules),
    "linear": lambda made: fit_linear(made.plan, made.examples),
    "encoder": encoder,
    "generative": generative,
    "nearest": lambda made: NearestModel.of(made.plan, made.examples),
    "fake": lambda made: FakeModel({row.input: row.output for row in made.examples}, plan=made.plan),
}


@pytest.fixture(scope="session")
def gate() -> Toy:
    """Steps, optional and secret values, clarifying, out of scope."""
    return toy("gate")


@pytest.fixture(scope="session")
def gate_model(gate: Toy) -> LinearModel:
    """A linear model of the gate task."""
    return fit_linear(gate.plan, gate.examples)


@pytest.fixture(scope="session", params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, gate: Toy) -> Model:
    """A model of the gate task, of every kind in turn."""
    return BACKENDS[request.param](gate)
