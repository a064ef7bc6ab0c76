"""Formats of grounded values: what a slice must look like to fill a Span.

One table, read by the compiler (is the name known?), by grounded decoding (which slices may fill the
slot?), by validation and by the value generators. A format here is wider than its RFC where people type
it so (wildcard hosts, `fe80::1/64`), never narrower.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Format:
    """A named kind of value."""

    name: str
    check: Callable[[str], bool]
    """True when a text is such a value."""
    words: bool = False
    """True when a value may hold blanks, so that slices of several words are candidates."""
    atom: re.Pattern[str] | None = None
    """Finds such values so surely that a model may read each as one token; None where context must tell."""


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _address(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return "%" not in text

    return check


_ipv4 = _address(ipaddress.IPv4Address)
_ipv6 = _address(ipaddress.IPv6Address)
_ip_network = _address(ipaddress.ip_interface)


def _ip(text: str) -> bool:
    return _ipv4(text) or _ipv6(text)


def _cidr(text: str) -> bool:
    return "/" in text and _ip_network(text)


def _ip_or_cidr(text: str) -> bool:
    return _ip_network(text)


_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_hostname = _matches(rf"(?:\*\.)?(?:_?{_LABEL}\.)*_?{_LABEL}\.?|\*")


def _host(text: str) -> bool:
    return _hostname(text) or _ip(text)


_email = _matches(r"[^\s@<>,;:\"'()\[\]]+@[^\s@<>,;:\"'()\[\]]*[^\s@<>,;:\"'()\[\].]")
_PATH = r"(?:/[^\n]*|[A-Za-z]:[\\/][^\n]*|\\\\[^\n]+|~[^\n]*|\.{1,2}[/\\][^\n]*|[^\s/\\]+(?:[/\\][^\s/\\]+)+[/\\]?)"
_integer = _matches(r"[+-]?\d{1,18}")
_number = _matches(r"[+-]?(?:\d{1,18}(?:[.,]\d{1,9})?|[.,]\d{1,9})")


def _date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", text) is not None


def _port(text: str) -> bool:
    if text.isdecimal():
        return len(text) <= 9 and 0 <= int(text) <= 65535
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+_.-]{0,31}", text) is not None


_V4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_V6 = r"(?:[0-9A-Fa-f]{1,4}:){2,7}[0-9A-Fa-f]{0,4}|(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?"
_EDGE_BEFORE, _EDGE_AFTER = r"(?<![\w.:/-])", r"(?![\w/:-]|\.\w)"


def _atom(pattern: str) -> re.Pattern[str]:
    return re.compile(f"{_EDGE_BEFORE}(?:{pattern}){_EDGE_AFTER}")


_FORMATS = (
    Format(name="text", check=lambda text: bool(text.strip()), words=True),
    Format(name="word", check=_matches(r"\S+")),
    Format(name="username", check=_matches(r"[^\s,;:\"<>|()]{1,64}")),
    Format(name="password", check=_matches(r"\S(?:[^\n\t]{0,126}\S)?"), words=True),
    Format(name="name", check=_matches(r"[^\n]{1,80}"), words=True),
    Format(name="ipv4", check=_ipv4, atom=_atom(_V4)),
    Format(name="ipv6", check=_ipv6, atom=_atom(_V6)),
    Format(name="ip", check=_ip, atom=_atom(f"{_V4}|{_V6}")),
    Format(name="cidr", check=_cidr, atom=_atom(rf"(?:{_V4}|{_V6})/\d{{1,3}}")),
    Format(name="ip-or-cidr", check=_ip_or_cidr, atom=_atom(rf"(?:{_V4}|{_V6})(?:/\d{{1,3}})?")),
    Format(name="hostname", check=_hostname),
    Format(name="host", check=_host),
    Format(name="email", check=_email, atom=re.compile(r"(?<![^\s<(\[\"'=:,;])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    Format(name="path", check=_matches(_PATH), words=True),
    Format(name="integer", check=_integer),
    Format(name="number", check=_number),
    Format(name="port", check=_port),
    Format(name="interface", check=_matches(r"[A-Za-z][\w.:@-]*(?: [\w.:@#-]+){0,4}"), words=True),
    Format(name="date", check=_date),
    Format(name="mac", check=_matches(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")),
    Format(name="url", check=_matches(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")),
)  # fmt: skip

FORMATS: dict[str, Format] = {entry.name: entry for entry in _FORMATS}
"""Name -> format. `x-format` or `format` in a schema names one; JSON Schema's own names are among them."""
