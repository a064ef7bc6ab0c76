from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("Why is my DNS not working?", "dns"),  # the kept fault: a question goes to the specialist
        ("how do I choose a good password", "user"),  # the kept fault: any password goes to users
        ("the DNS server's password", "dns"),  # the order decides
        ("share photos", "samba"),
        ("mail relay down", "mail"),
        ("emails to the user group", "user"),
        ("open port 22", None),
        ("", None),
    ],
)
def test_route(infra: ModuleType, text: str, system: str | None) -> None:
    assert infra.route(text) == system


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("add dns record api.local to 10.0.0.5", {"action": "dns_add", "zone": "api.local", "record_type": "A", "ip": "10.0.0.5"}),
        ("dns record v6.lan is fe80::1", {"action": "dns_add", "zone": "v6.lan", "record_type": "AAAA", "ip": "fe80::1"}),
        ("cname www.lan to web.lan", {"action": "dns_add", "zone": "www.lan", "record_type": "CNAME", "target": "web.lan"}),
        ("remove the record old.lan.", {"action": "dns_remove", "zone": "old.lan"}),
        ("dns for nas.lan", {"action": "clarify", "intent": "dns_add", "zone": "nas.lan", "missing": ["ip"]}),
        ("Why is my DNS not working?", {"action": "clarify", "intent": "dns_add", "missing": ["zone", "ip"]}),
        ("create user bob with password Secret1", {"action": "user_add", "username": "bob", "password": "Secret1"}),
        ("create user bob", {"action": "user_add", "username": "bob"}),
        ("delete user bob", {"action": "user_remove", "username": "bob"}),
        ("set password for eve to x7", {"action": "user_set_password", "username": "eve", "password": "x7"}),
        ("add bob to group ops", {"action": "group_add_member", "username": "bob", "group": "ops"}),
        ("remove user bob from group ops", {"action": "group_remove_member", "username": "bob", "group": "ops"}),
        ("create share media at /srv/media", {"action": "share_create", "share": "media", "path": "/srv/media"}),
        ("delete share media", {"action": "share_remove", "share": "media"}),
        ("give eve read access to share media", {"action": "share_grant", "username": "eve", "share": "media", "access": "read"}),
        ("revoke access of eve to share media", {"action": "share_revoke", "username": "eve", "share": "media"}),
        ("relay through smtp.lan:587", {"action": "mail_relay_set", "host": "smtp.lan", "port": 587}),
        ("alias info to bob@firm.lan", {"action": "mail_alias_add", "alias": "info", "target": "bob@firm.lan"}),
        ("drop the alias info", {"action": "mail_alias_remove", "alias": "info"}),
        ("open port 22", {"action": "unsupported"}),
    ],
)  # fmt: skip
def test_answers(infra: ModuleType, text: str, answer: dict[str, Any]) -> None:
    assert infra.parse(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "no password here",
        "user",
        "share",
        "alias",
        "group group group",
        "password:",
        "relay:0",
        "dns ....",
        "mail @@@",
    ],
)
def test_half_requests_do_not_fail(infra: ModuleType, text: str) -> None:
    assert "action" in infra.parse(text)
