"""The formats that JSON Schema itself names, as strict as their documents.

`format` is checked with these, `x-format` with the wider table of `microlith.task.formats`: a person may type
`*.example.org` where a host is meant, but `"format": "hostname"` promises a host name. A format that neither table
knows is refused by the linter, so nothing is taken for checked that is not.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable

from microlith.task.formats import FORMATS
from microlith.task.pattern import PatternError, translate


def _full(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[zZ]|([+-])(\d\d):(\d\d))", re.ASCII)


def _time(text: str) -> bool:
    """RFC 3339, section 5.6; a leap second only where it is 23:59:60 in UTC."""
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    hour, minute, second = (int(match[index]) for index in (1, 2, 3))
    ahead, by_hours, by_minutes = match[4], int(match[5] or 0), int(match[6] or 0)
    if hour > 23 or minute > 59 or second > 60 or by_hours > 23 or by_minutes > 59:
        return False
    offset = (by_hours * 60 + by_minutes) * (-1 if ahead == "+" else 1)
    return second < 60 or (hour * 60 + minute + offset) % 1440 == 1439


def _date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and _date(text[:10]) and _time(text[11:])


_DURATION = _full(
    r"P(?:\d+W|(?=\d|T\d)(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?=\d)(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)"
)  # RFC 3339, appendix A

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = _full(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
_LOCAL = _full(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')


def _email(text: str) -> bool:
    """RFC 5321, section 4.1.2: Mailbox."""
    local, at, domain = text.rpartition("@")
    if not at or len(local) > 64 or not _LOCAL(local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        inner = domain[1:-1]
        return _ipv6(inner[5:]) if inner.lower().startswith("ipv6:") else _ipv4(inner)
    return len(domain) <= 253 and _DOMAIN(domain)


def _hostname(text: str) -> bool:
    """RFC 1123, section 2.1, and RFC 5891 for the inside of internationalised labels (`xn--`)."""
    if len(text) > 253 or not _DOMAIN(text):
        return False
    marked = [label for label in text.lower().split(".") if label[2:4] == "--"]
    return all(label.startswith("xn--") and _a_label(label) for label in marked)


def _a_label(label: str) -> bool:
    import idna  # rarely needed

    try:
        return idna.encode(idna.decode(label)).decode("ascii") == label
    except idna.IDNAError:
        return False


def _ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return text.isascii()


def _ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text and text.isascii()


_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_PATH_PART = rf"{_PCHAR}*(?:/{_PCHAR}*)*"
_USERINFO = r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
_REG_NAME = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_AUTHORITY = rf"//{_USERINFO}(?:\[(?P<literal>[^\]]*)\]|{_REG_NAME})(?::\d*)?(?:/{_PCHAR}*)*"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?:{_AUTHORITY}|(?!//){_PATH_PART}){_TAIL}", re.ASCII)
_RELATIVE = re.compile(rf"(?:{_AUTHORITY}|(?!//)(?![^/?#]*:){_PATH_PART}){_TAIL}", re.ASCII)
_FUTURE_IP = _full(r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+")


def _addressed(match: re.Match[str] | None) -> bool:
    if match is None:
        return False
    literal = match.group("literal")
    return literal is None or _ipv6(literal) or _FUTURE_IP(literal)


def _uri(text: str) -> bool:
    """RFC 3986, section 3."""
    return _addressed(_URI.fullmatch(text))


def _uri_reference(text: str) -> bool:
    """RFC 3986, section 4.1."""
    return _uri(text) or _addressed(_RELATIVE.fullmatch(text))


def _uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower() and text.isascii()
    except ValueError:
        return False


def _regex(text: str) -> bool:
    try:
        translate(text)
    except PatternError as error:
        return "look-behind" in str(error)  # `re` cannot run it, but it is one
    return True


STANDARD: dict[str, Callable[[str], bool]] = {
    "date": _date,
    "time": _time,
    "date-time": _date_time,
    "duration": _DURATION,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "uri": _uri,
    "uri-reference": _uri_reference,
    "uuid": _uuid,
    "json-pointer": _full(r"(?:/(?:[^~/]|~[01])*)*"),
    "relative-json-pointer": _full(r"(?:0|[1-9]\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)"),
    "regex": _regex,
}
"""Name -> check of a text."""


def check_of(name: str) -> Callable[[str], bool] | None:
    """What `"format": name` checks: the standard's own meaning, else that of `FORMATS`; None for an unknown name."""
    if name in STANDARD:
        return STANDARD[name]
    return FORMATS[name].check if name in FORMATS else None
