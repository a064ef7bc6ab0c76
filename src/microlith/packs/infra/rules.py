"""The rules that the specialist replaces: a router by key words, and plain patterns behind it.

Kept with its faults, because it is the baseline to beat. Key words are looked for inside other words and in a fixed order, so
"Why is my DNS not working?" is taken for a request about DNS, and any mention of a password for one about users. There are
no key words for certificates, the firewall and network interfaces, and none for languages other than English.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]

ROUTES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dns", ("dns", "record", "cname", "hostname", "domain", "zone")),
    ("user", ("user", "password", "account", "login", "group")),
    ("samba", ("samba", "smb", "share", "folder")),
    ("mail", ("mail", "smtp", "relay", "alias")),
)
"""System -> its key words, in the order in which they are tried."""

_REMOVE = re.compile(
    r"\b(?:remove|delete|drop|revoke|disable|unshare|unset|clear|take|kick|kill)\b", re.IGNORECASE
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:|:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_HOST = re.compile(
    r"(?<![\w@.*-])(?:\*\.)?(?:[A-Za-z0-9_][\w-]{0,62}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,62}(?![\w@-])"
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_PATH = re.compile(r"(?<!\S)(?:/|[A-Za-z]:\\|\\\\)[^\s\"',;]+")
_NAME = r"[\"'`]?([\w$@][\w.$@\\-]*)"
_USER = re.compile(
    rf"\b(?:user(?:name)?|account|login)\s+(?:named\s+|called\s+|for\s+|of\s+|:\s*)?{_NAME}", re.IGNORECASE
)
_FOR = re.compile(
    rf"\b(?:for|of|give|grant|allow|add|remove)\s+(?:the\s+)?(?:user\s+)?{_NAME}", re.IGNORECASE
)
_PASSWORD = re.compile(
    r"\b(?:password|passwd|pw)\b(?:\s+(?:for|of)\s+\S+)?\s*(?:is\s|to\s|of\s|:|=)?\s*[\"'`]?([^\s\"'`]+)",
    re.IGNORECASE,
)
_GROUP = re.compile(rf"\bgroup\s+(?:named\s+|called\s+)?{_NAME}", re.IGNORECASE)
_SHARE = re.compile(rf"\b(?:share|folder)\s+(?:named\s+|called\s+)?{_NAME}", re.IGNORECASE)
_ALIAS = re.compile(rf"\balias\s+(?:for\s+|named\s+|called\s+)?{_NAME}", re.IGNORECASE)
_PORT = re.compile(r"(?:\bport\s+|:)([1-9]\d{0,3}|[1-5]\d{4})\b", re.IGNORECASE)
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "to",
        "for",
        "from",
        "on",
        "of",
        "in",
        "with",
        "and",
        "is",
        "at",
        "as",
        "it",
        "new",
        "my",
        "our",
        "named",
        "called",
        "user",
        "account",
        "share",
        "group",
    ]
)


def parse(text: str) -> Answer:
    """The action that the key words and patterns find; `unsupported` where no key word is there."""
    system = route(text)
    return _SYSTEMS[system](text) if system else {"action": "unsupported"}


def route(text: str) -> str | None:
    """The system whose key word comes first in `ROUTES`; None sends the request to the general model."""
    lowered = text.lower()
    return next((system for system, words in ROUTES if any(word in lowered for word in words)), None)


def _dns(text: str) -> Answer:
    hosts = [host for host in _all(_HOST, text) if not any(host in email for email in _all(_EMAIL, text))]
    zone = hosts[0] if hosts else None
    if _REMOVE.search(text):
        return _complete("dns_remove", {"zone": zone})
    if "cname" in text.lower():
        target = hosts[1] if len(hosts) > 1 else None
        return _complete("dns_add", {"zone": zone, "record_type": "CNAME", "target": target})
    ip, kind = _first(_IPV4, text), "A"
    if ip is None and (ip := _first(_IPV6, text)) is not None:
        kind = "AAAA"
    return _complete(
        "dns_add", {"zone": zone, "record_type": kind if ip else None, "ip": ip}, stated=("record_type",)
    )


def _user(text: str) -> Answer:
    username = _named(_USER, text) or _named(_FOR, text)
    if "group" in text.lower():
        action = "group_remove_member" if _REMOVE.search(text) else "group_add_member"
        return _complete(action, {"username": username, "group": _named(_GROUP, text)})
    if _REMOVE.search(text):
        return _complete("user_remove", {"username": username})
    password = _named(_PASSWORD, text)
    if re.search(r"\b(?:reset|change|set)\b", text, re.IGNORECASE):
        return _complete("user_set_password", {"username": username, "password": password})
    return _complete("user_add", {"username": username, "password": password}, stated=("password",))


def _samba(text: str) -> Answer:
    lowered, share, username = text.lower(), _named(_SHARE, text), _named(_FOR, text)
    if re.search(r"\b(?:revoke|access)\b", lowered) and _REMOVE.search(text):
        return _complete("share_revoke", {"username": username, "share": share})
    if _REMOVE.search(text):
        return _complete("share_remove", {"share": share})
    if re.search(r"\b(?:give|grant|allow|access)\b", lowered):
        access = "read" if "read" in lowered else "write" if re.search(r"write|edit|full", lowered) else None
        return _complete(
            "share_grant", {"username": username, "share": share, "access": access}, stated=("access",)
        )
    return _complete("share_create", {"share": share, "path": _first(_PATH, text)})


def _mail(text: str) -> Answer:
    if "alias" not in text.lower():
        port = _first(_PORT, text)
        values = {"host": _first(_HOST, text) or _first(_IPV4, text), "port": int(port) if port else None}
        return _complete("mail_relay_set", values, stated=("port",))
    emails = _all(_EMAIL, text)
    alias = _named(_ALIAS, text) or (emails[0] if emails else None)
    if _REMOVE.search(text):
        return _complete("mail_alias_remove", {"alias": alias})
    target = next((email for email in emails if email != alias), None)
    return _complete("mail_alias_add", {"alias": alias, "target": target})


_SYSTEMS: dict[str, Callable[[str], Answer]] = {"dns": _dns, "user": _user, "samba": _samba, "mail": _mail}


def _complete(action: str, values: Answer, *, stated: tuple[str, ...] = ()) -> Answer:
    """The action, or the question for its missing values; those in `stated` are left out where they are not stated."""
    given = {key: value for key, value in values.items() if value is not None}
    missing = [key for key in values if key not in given and key not in stated]
    if not missing:
        return {"action": action, **given}
    return {"action": "clarify", "intent": action, **given, "missing": missing}


def _all(pattern: re.Pattern[str], text: str) -> list[str]:
    return list(dict.fromkeys(match.group() for match in pattern.finditer(text)))


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(pattern.groups) if match else None


def _named(pattern: re.Pattern[str], text: str) -> str | None:
    """The first name that `pattern` finds and that is not an everyday word, without a full stop at its end."""
    for match in pattern.finditer(text):
        name = match.group(1).rstrip(".,;:!?")
        if name and name.lower() not in _FILLERS:
            return name
    return None
