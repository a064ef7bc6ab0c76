"""The key words that the classifier replaces.

Kept with its fault, because it is the baseline to beat: words are looked for inside other words, so that "update" asks for
tools because of its "date".
"""

from __future__ import annotations

TOOLS = ("calculate", "compute", "time", "date", "search", "web")
SEVERAL_PARTS = ("analyze", "compare", "explain", "how", "why")
PUZZLE = ("solve", "problem", "figure out", "determine")
MANY_WORDS = 15
"""A text of more words than this is taken for one of several parts."""


def parse(text: str) -> dict[str, str]:
    """The way in which a message is best answered."""
    lowered = text.lower()
    if any(word in lowered for word in TOOLS):
        return {"mode": "Agent-Based"}
    if len(text.split()) > MANY_WORDS or any(word in lowered for word in SEVERAL_PARTS):
        return {"mode": "Multi-Step"}
    if any(word in lowered for word in PUZZLE):
        return {"mode": "Chain-of-Thought"}
    return {"mode": "Standard"}
