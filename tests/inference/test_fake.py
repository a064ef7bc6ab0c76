from __future__ import annotations

import pytest

from microlith.inference.fake import FakeModel
from microlith.inference.protocol import Prediction
from tests.inference.toys import Toy


def test_it_answers_as_scripted_and_remembers_what_was_asked(gate: Toy) -> None:
    model = FakeModel(
        {"open 22": {"action": "open", "port": 22}}, plan=gate.plan, name="stub", confidence=0.7
    )
    found, unknown = model.predict(["open 22", "close 22"])
    assert (found.output, found.confidence, found.model) == ({"action": "open", "port": 22}, 0.7, "stub")
    assert [field.span for field in found.fields] == [None, (5, 7)]
    assert unknown.refusal == "not in the script"
    assert model.requests == ["open 22", "close 22"]


def test_a_function_is_a_script_too() -> None:
    model = FakeModel(lambda request: {"length": len(request)})
    assert [one.output for one in model.predict(["a", "bcd"])] == [{"length": 1}, {"length": 3}]


def test_a_scripted_prediction_is_handed_on() -> None:
    scripted = Prediction(output=None, confidence=0.0, fields=(), model="other", latency_ms=5.0, refusal="no")
    (found,) = FakeModel({"x": scripted}, clock=lambda: 0.0).predict(["x"])
    assert (found.model, found.refusal, found.latency_ms) == ("other", "no", 0.0)


def test_a_wrong_script_is_refused_where_there_is_a_plan(gate: Toy) -> None:
    (found,) = FakeModel({"x": {"action": "open", "port": 22}}, plan=gate.plan).predict(["x"])
    assert found.output is None


@pytest.mark.parametrize(("ticks", "latency"), [([1.0, 1.25], 250.0)])
def test_latency_is_the_clocks(ticks: list[float], latency: float) -> None:
    times = iter(ticks)
    (found,) = FakeModel({}, clock=lambda: next(times)).predict(["x"])
    assert found.latency_ms == latency
