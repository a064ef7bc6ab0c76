from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("calculate 7 * 8", "Agent-Based"),
        ("COMPUTE the sum", "Agent-Based"),
        ("search for cheap flights", "Agent-Based"),
        ("update my profile", "Agent-Based"),  # the kept fault: "date" inside "update"
        ("how is sentiment measured", "Agent-Based"),  # the same: "time" inside "sentiment"
        ("compare tea and coffee", "Multi-Step"),
        ("show me a haiku", "Multi-Step"),  # the same: "how" inside "show"
        ("why solve it", "Multi-Step"),  # the order of the rules decides
        (" ".join(["word"] * 16), "Multi-Step"),
        (" ".join(["word"] * 15), "Standard"),
        ("solve the puzzle", "Chain-of-Thought"),
        ("figure out who did it", "Chain-of-Thought"),
        ("hello there", "Standard"),
        ("", "Standard"),
    ],
)
def test_mode(reasoning_mode: ModuleType, text: str, mode: str) -> None:
    assert reasoning_mode.parse(text) == {"mode": mode}
