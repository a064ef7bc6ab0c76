"""Every backend that answers requests, made for the same small task; the contract tests run over all of them.

A new backend joins by one entry in `BACKENDS`: its name, and a function from a toy task to a model.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from microlith.inference.fake import FakeModel
from microlith.inference.linear import LinearModel, fit_linear
from microlith.inference.protocol import Model
from microlith.inference.rules import RulesModel
from tests.inference.toys import Toy, gate_rules, toy

BACKENDS: dict[str, Callable[[Toy], Model]] = {
    "rules": lambda made: RulesModel(made.plan, gate_rules),
    "linear": lambda made: fit_linear(made.plan, made.examples),
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
