"""The rules that the classifier replaces: command, prompt or workflow, by scores of key words.

Kept with its faults, because it is the baseline to beat: a technology name such as "Node.js" counts as a file, and a
short request to create or implement something counts as a question about code.
"""

from __future__ import annotations

import re

ASKING = (
    "what", "how", "why", "when", "where", "which", "who", "explain", "describe", "tell me", "show me", "help me understand",
    "can you", "could you", "should i", "is it", "are there", "does", "difference between", "compare", "example of",
)  # fmt: skip
"""Words that speak for a prompt."""
CODING = ("write", "create", "implement")
"""Verbs of a simple request for code."""
ACTING = (
    "write", "create", "implement", "add", "build", "make", "generate", "fix", "refactor", "update", "change", "modify",
    "remove", "delete", "rename", "move", "migrate", "replace", "convert", "optimize", "improve", "set up", "setup",
    "install", "configure", "deploy", "run", "test", "debug", "analyze", "review", "integrate", "upgrade",
)  # fmt: skip
"""Verbs that speak for a workflow."""
_FILE = re.compile(
    r"\b[\w-]*\.(?:py|js|jsx|ts|tsx|java|go|rs|rb|php|c|cc|cpp|h|cs|html|css|scss|json|ya?ml|toml|md|txt|sql|sh|xml|csv)\b"
    r"|\b(?:files?|folders?|director(?:y|ies)|codebase|repo(?:sitory)?)\b|(?:^|\s)(?:src|lib|tests?|app)/",
    re.IGNORECASE,
)
_STEPS = re.compile(
    r"\b(?:and then|then|after that|afterwards|first|next|finally|step by step)\b|;|\n\s*\d+[.)]"
    rf"|\band\s+(?:{'|'.join(ACTING)})\b",
    re.IGNORECASE,
)


def parse(text: str) -> tuple[dict[str, str], float]:
    """The class of what was typed, and the score of that class (0-1)."""
    if text.startswith("/"):
        return {"type": "command"}, 1.0
    prompt, workflow = prompt_score(text), workflow_score(text)
    if prompt >= workflow:
        return {"type": "prompt"}, prompt
    return {"type": "workflow"}, workflow


def prompt_score(text: str) -> float:
    """How much a text looks like a question, 0.1-0.95."""
    words = len(text.split())
    score = 0.4
    score += 0.3 * _holds(text, ASKING)
    score += 0.2 * ("?" in text)
    score += 0.1 * (words <= 10)
    score += 0.4 * is_simple_code_request(text)
    score -= 0.4 * names_file(text)
    score -= 0.2 * (words > 50)
    return _clamped(score)


def workflow_score(text: str) -> float:
    """How much a text looks like a job of work, 0.1-0.95; longer texts start from a higher base (0.3-0.6)."""
    words = len(text.split())
    score = 0.3 if words <= 5 else 0.4 if words <= 15 else 0.5 if words <= 30 else 0.6
    score += 0.3 if _opens(text, ACTING) else 0.15 * _holds(text, ACTING)
    score += 0.4 * names_file(text)
    score += 0.3 * has_steps(text)
    return _clamped(score)


def is_simple_code_request(text: str) -> bool:
    """True for up to 15 words that ask to write, create or implement, with no file and no second step."""
    return _holds(text, CODING) and not names_file(text) and not has_steps(text) and len(text.split()) <= 15


def names_file(text: str) -> bool:
    """True when the text seems to name a file; any word that ends like a file name does."""
    return _FILE.search(text) is not None


def has_steps(text: str) -> bool:
    """True when the text asks for several things in order."""
    return _STEPS.search(text) is not None


def _holds(text: str, phrases: tuple[str, ...]) -> bool:
    return re.search(rf"\b(?:{'|'.join(phrases)})\b", text, re.IGNORECASE) is not None


def _opens(text: str, phrases: tuple[str, ...]) -> bool:
    return re.match(rf"\W*(?:please\s+)?(?:{'|'.join(phrases)})\b", text, re.IGNORECASE) is not None


def _clamped(score: float) -> float:
    return round(min(max(score, 0.1), 0.95), 2)
