"""How numbers are written for people, the same on a page and in a terminal."""

from __future__ import annotations

import json
import re

from microlith.evaluation.intervals import Bounded, Difference, Share
from microlith.task.plan import Json

UNSCORED = "–"
"""Stands for a value that was not scored, which is not zero."""
_THIN = "\u202f"
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


def percent(value: float | None, digits: int = 0) -> str:
    """A share as a percentage, e.g. `97.5 %`. Only 1 itself is written as 100 %, only 0 itself as 0 %."""
    if value is None:
        return UNSCORED
    step = 10.0 ** -(digits + 2)
    kept = value if value in (0.0, 1.0) else min(max(value, step), 1.0 - step)
    return f"{100 * kept:.{digits}f}{_THIN}%"


def interval(share: Bounded, digits: int = 1) -> str:
    """The ends of the 95 % interval of a share or a mean, e.g. `95.4–98.3 %`."""
    if share.low is None or share.high is None:
        return UNSCORED
    return f"{100 * share.low:.{digits}f}–{100 * share.high:.{digits}f}{_THIN}%"


def of(share: Share) -> str:
    """The counts of a share, e.g. `680 of 700`."""
    return f"{share.hits:,} of {share.n:,}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A small number, e.g. `0.021`."""
    return UNSCORED if value is None else f"{value:.{digits}f}"


def milliseconds(value: float | None) -> str:
    """A duration with about three digits, e.g. `2.41 ms`, `1.2 s`."""
    if value is None:
        return UNSCORED
    if value >= 1000:
        return f"{value / 1000:.2f}{_THIN}s"
    if value < 0.01:
        return f"<{_THIN}0.01{_THIN}ms"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{_THIN}ms"


def megabytes(size_bytes: int | None) -> str:
    """A size in units of 10^6 bytes, e.g. `22.6 MB`."""
    if size_bytes is None:
        return UNSCORED
    return f"{size_bytes / 1e6:,.{0 if size_bytes >= 1e8 else 1}f}{_THIN}MB"


def rate(rows_per_s: float | None) -> str:
    """A throughput, e.g. `512 / s`."""
    if rows_per_s is None:
        return UNSCORED
    return f"{rows_per_s:,.{0 if rows_per_s >= 10 else 1}f}{_THIN}/{_THIN}s"


def p_text(value: float) -> str:
    """A p-value, e.g. `0.0312`, `< 0.0001`."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def points(difference: float) -> str:
    """A difference of two shares in points of a hundred, e.g. `+3.2`."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def bounds(difference: Difference) -> str:
    """The ends of a difference's 95 % interval in points, e.g. `+1.2 to +5.1`."""
    return f"{points(difference.low)} to {points(difference.high)}"


def compact(value: Json) -> str:
    """A JSON value on one line; the answer that is missing is written as a dash."""
    return UNSCORED if value is None else json.dumps(value, ensure_ascii=False)


def shortened(text: str, most: int) -> str:
    """At most `most` characters of `text`, with an ellipsis where some are missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(text: str) -> str:
    """`text` with the characters that cannot be seen or written spelled as escapes, e.g. `\\u202e`.

    These are control characters but tab and newline (a terminal would obey them), marks that reorder a line, and lone
    surrogates.
    """
    return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
