from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.task.standard import STANDARD, check_of

CASES = {
    "date": (["2024-02-29"], ["2023-02-29", "2024-2-9", "20240229", "٢٠٢٤-01-01"]),
    "time": (["12:00:00Z", "23:59:60Z", "23:59:60.5+00:00", "00:29:60+00:30"], ["12:00", "24:00:00Z", "12:00:60Z", "12:00:00"]),
    "date-time": (["2024-02-29T12:00:00Z", "2024-02-29t12:00:00+01:00"], ["2024-02-29 12:00:00Z", "2024-02-30T12:00:00Z"]),
    "duration": (["P1Y2M3DT4H5M6S", "P4W", "PT1H"], ["P", "PT", "P1D2H", "1D", "P1W2D", "P1YT"]),
    "email": (["a.b@example.org", '"a b"@x.org', "a@[127.0.0.1]", "a@[IPv6:::1]"], ["a@", "@x", ".a@x.org", "a..b@x.org", "a b@x.org"]),
    "hostname": (["example.org", "xn--bcher-kva.example", "a"], ["-a", "a_b", "a.", "a" * 64, "xn--x", "ab--c", "*.x"]),
    "ipv4": (["192.0.2.1"], ["192.0.2", "192.0.2.01", "256.0.0.1", "1.2.3.4\n"]),
    "ipv6": (["::1", "2001:db8::ffff:1.2.3.4"], ["fe80::1%eth0", ":::", "12345::"]),
    "uri": (["http://x.org/a?b#c", "urn:a:b", "http://[::1]:80/"], ["/a", "a b:c", "http://x y/", "http://[::g]/", "//x"]),
    "uri-reference": (["/a", "//x/y", "#f", ""], ["\\a", "a b", "#\\"]),
    "uuid": (["2eb8aa08-aa98-11ea-b4aa-73b441d16380"], ["2eb8aa08aa9811eab4aa73b441d16380", "x"]),
    "json-pointer": (["", "/a/0", "/~0~1"], ["a", "/~", "/~2"]),
    "relative-json-pointer": (["0", "1/a", "2#"], ["01", "/a", "-1"]),
    "regex": (["^a+$", "(?<=a+)b"], ["(", "[a"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, (good, _) in CASES.items() for text in good]
)
def test_accepts(name: str, text: str) -> None:
    assert STANDARD[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (_, bad) in CASES.items() for text in bad])
def test_refuses(name: str, text: str) -> None:
    assert not STANDARD[name](text)


def test_every_format_has_cases() -> None:
    assert set(CASES) == set(STANDARD)


@given(st.sampled_from(sorted(STANDARD)), st.text(max_size=30))
def test_never_raises(name: str, text: str) -> None:
    assert STANDARD[name](text) in (True, False)


def test_our_own_formats_are_known_by_format_too() -> None:
    check = check_of("path")
    assert check is not None
    assert check("/srv")


def test_an_unknown_format_has_no_check() -> None:
    assert check_of("colour") is None
