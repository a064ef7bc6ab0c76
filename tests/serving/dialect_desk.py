"""A server of the dialects over a scripted desk, for the tests of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from microlith.inference.protocol import Prediction
from microlith.routing.route import Hop, Routed
from microlith.serving import (
    http_errors,
    ollama_chat,
    ollama_errors,
    ollama_models,
    openai_chat,
    openai_completions,
    openai_errors,
    openai_models,
    systemone,
)
from microlith.serving.desk import Call
from microlith.task.plan import Json
from tests.serving.running import ScriptedDesk, app_of, serving

ADD = "add dns record api.local to 10.0.0.5"
ADDED = {"action": "dns_add", "zone": "api.local", "record_type": "A", "ip": "10.0.0.5"}
ODD = "give 👩‍🚀 jo a new password: pä\u2029ss🙂wörd"
"""Signs beyond the basic plane before a value, and a sign in it that some take for the end of a line."""
ODD_ANSWER = {"action": "user_set_password", "username": "jo", "password": "pä\u2029ss🙂wörd"}
REFUSED = "why is the sky blue"
PLAIN = "an answer without fields"
RISK = {
    "risk_level": "high",
    "confidence": 80,
    "reasons": ["It is late."],
    "recommended_actions": ["Ask for help."],
}

_INFRA: dict[str, Json] = {
    ADD: ADDED,
    ODD: ODD_ANSWER,
    "": {"action": "unsupported"},
    PLAIN: Prediction(output={"action": "unsupported"}, confidence=0.5, fields=(), model="infra@3", latency_ms=1.0),
}  # fmt: skip


class DialectDesk(ScriptedDesk):
    """Serves infra, cli-intent and task-risk; can let a general model answer."""

    def __init__(self) -> None:
        """See the class."""
        super().__init__(
            {"infra": _INFRA, "cli-intent": lambda text: {"type": "command"}, "task-risk": lambda text: RISK}
        )
        self.is_general = False

    def reset(self) -> None:
        """As new."""
        super().reset()
        self.is_general = False

    async def answer(self, call: Call) -> Routed:
        """See `Desk.answer`."""
        routed = await super().answer(call)
        if not self.is_general:
            return routed
        general = Hop(stage="general", model="large", latency_ms=900.0, tokens_in=700, tokens_out=31)
        left = replace(routed.hops[0], left="low confidence")
        return replace(
            routed,
            hops=(left, general),
            prediction=replace(routed.prediction, model="large"),
            latency_ms=902.0,
        )


@contextmanager
def dialects() -> Iterator[tuple[DialectDesk, str]]:
    """A real server of the three dialects, and its address."""
    desk = DialectDesk()
    parts = (openai_chat, openai_completions, openai_models, ollama_chat, ollama_models, systemone)
    app = app_of(desk, *(part.router for part in parts))
    http_errors.install(app, {**openai_errors.SHAPES, **ollama_errors.SHAPES, **systemone.SHAPES})
    with serving(app) as address:
        yield desk, address
