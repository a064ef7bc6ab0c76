"""Generators of made-up values, one a kind: addresses, hosts, people, passwords, names, paths, numbers, dates.

Each takes only a `random.Random` and returns the text as it would stand in a request. `values.py` chooses
among them. Addresses come mostly from private and documentation ranges (RFC 1918, RFC 5737, RFC 3849).
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable
from functools import cache
from random import Random

from microlith.data import words

Generator = Callable[[Random], str]


# ------------------------------------------------------------------------------------------------ addresses


def ipv4(rng: Random) -> str:
    """An IPv4 address, seven times in ten a private one."""
    draw = rng.random()
    if draw < 0.3:
        return f"192.168.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    if draw < 0.55:
        return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    if draw < 0.7:
        return f"172.{rng.randrange(16, 32)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    if draw < 0.85:
        return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"
    return ".".join(str(rng.randrange(low, 256)) for low in (1, 0, 0, 1))


def ipv6(rng: Random) -> str:
    """An IPv6 address: full, shortened, unique local, link local or documentation."""
    prefix = rng.choice(("2001:db8:", "2001:db8:", "fd", "fe80:", "2a01:", "2a0c:", "2606:"))
    head = f"fd{rng.randrange(256):02x}:" if prefix == "fd" else prefix
    tail = rng.randrange(1, 5)
    groups = [f"{rng.choice((rng.randrange(1, 16), rng.randrange(65536))):x}" for _ in range(8)]
    missing = 8 - head.count(":")
    if rng.random() < 0.75:
        return (
            f"{head}{':'.join(groups[: rng.randrange(0, missing - tail)])}".rstrip(":")
            + "::"
            + ":".join(groups[-tail:])
        )
    return head + ":".join(groups[:missing])


def cidr4(rng: Random) -> str:
    """An IPv4 network or an address with its prefix length."""
    bits = rng.choice((8, 12, 16, 20, 22, 23, 24, 24, 24, 24, 25, 26, 27, 28, 29, 30, 32))
    address = ipv4(rng)
    if rng.random() < 0.6:
        return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
    return f"{address}/{bits}"


def cidr6(rng: Random) -> str:
    """An IPv6 network or an address with its prefix length."""
    bits = rng.choice((32, 48, 56, 64, 64, 64, 96, 128))
    address = ipv6(rng)
    if rng.random() < 0.6:
        return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
    return f"{address}/{bits}"


def _either(*generators: Generator) -> Generator:
    return lambda rng: rng.choice(generators)(rng)


# ---------------------------------------------------------------------------------------------------- hosts


def domain(rng: Random) -> str:
    """A domain of a made-up house, e.g. `birch.example`."""
    name = rng.choice(words.DOMAIN_WORDS)
    if rng.random() < 0.2:
        name = f"{name}-{rng.choice(words.DOMAIN_WORDS)}"
    return f"{name}.{rng.choice(words.TLDS)}"


def host_label(rng: Random) -> str:
    """A machine's short name, e.g. `web02`, `db-prod`, `printer`."""
    role, draw = rng.choice(words.HOST_ROLES), rng.random()
    if draw < 0.4:
        return role
    if draw < 0.6:
        return f"{role}{rng.choice(('', '0', '-', '-0'))}{rng.randrange(1, 30)}"
    if draw < 0.75:
        return f"{role}-{rng.choice(words.SITES)}"
    if draw < 0.85:
        return f"{rng.choice(words.SITES)}-{role}"
    return plain(rng.choice(words.DOMAIN_WORDS if draw < 0.93 else words.FIRST_NAMES))


def hostname(rng: Random) -> str:
    """A host name of one to five labels, now and then a wildcard or a service label."""
    draw = rng.random()
    if draw < 0.2:
        return host_label(rng)
    if draw < 0.3:
        return f"*.{domain(rng)}"
    if draw < 0.33:
        return f"_{rng.choice(('dmarc', 'acme-challenge', 'sip', 'ldap'))}.{domain(rng)}"
    if draw < 0.4:
        return domain(rng)
    site = f".{rng.choice(words.SITES)}" if draw > 0.85 else ""
    short = f"{host_label(rng)}.{rng.choice(('lan', 'local', 'internal', 'home.arpa', 'intra'))}"
    return short if draw < 0.6 else f"{host_label(rng)}{site}.{domain(rng)}"


def hostname_of(rng: Random, count: int) -> str:
    """A host name of about `count` labels (one is exact)."""
    if count <= 1:
        return host_label(rng)
    tail = domain(rng) if count > 2 else rng.choice(words.TLDS[:20])
    while tail.count(".") + 1 > count and count > 1:
        tail = tail.split(".", 1)[1]
    lacking = count - tail.count(".") - 1
    middle = [rng.choice(words.SITES + words.DOMAIN_WORDS[:40]) for _ in range(max(0, lacking - 1))]
    return ".".join(([host_label(rng)] if lacking else []) + middle + [tail])


# ------------------------------------------------------------------------------------- people and their things


_LOGINS = (
    "{first}", "{first}", "{first}.{last}", "{first}.{last}", "{f}.{last}", "{f}{last}", "{last}.{f}", "{first}_{last}",
    "{last}{f}", "{first}{code}", "{f}{l}{code:04d}", "{first}-{last}", "{last}", "{first}_{l}", "u{code:05d}",
    "{last}_{f}", "{first:.3}{last:.3}", "{kind}-{role}", "{kind}_{role}", "{First}{Last}", "{First}.{Last}", "{First}",
    "{f}{last}{code:02d}",
)  # fmt: skip
_LOGINS_AT = ("{house}\\{f}{last}", "{house}\\{first}", "{house}\\{first}.{last}")


def username(rng: Random) -> str:
    """A login in one of many houses' shapes: `anna`, `a.weber`, `weber_a`, `mk0417`, `CORP\\weber`, `žofia`."""
    draw = rng.random()
    if draw < 0.04:
        return login(rng, _LOGINS_AT)
    return email(rng) if draw < 0.07 else login(rng, _LOGINS)


def domain_login(rng: Random) -> str:
    """A login with its Windows domain, e.g. `CORP\\weber`."""
    return login(rng, _LOGINS_AT)


def login(rng: Random, shapes: tuple[str, ...]) -> str:
    """A login in one of `shapes`, which name the parts first, last, f, l, code, kind, role, house."""
    first, last = rng.choice(words.FIRST_NAMES), rng.choice(words.LAST_NAMES)
    if rng.random() < 0.85:
        first, last = plain(first), plain(last)
    return rng.choice(shapes).format(
        first=first, last=last, f=first[0], l=last[0], First=first.capitalize(), Last=last.capitalize(),
        code=rng.randrange(1, 10 ** rng.randrange(1, 5)), kind=rng.choice(("svc", "adm", "ext", "test")),
        role=rng.choice(words.HOST_ROLES), house=rng.choice(words.DOMAIN_WORDS[:40]).upper(),
    )  # fmt: skip


@cache
def plain(name: str) -> str:
    """`name` without accents, e.g. `jorg` for `jörg`; letters that have no plain form are left out."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if letter.isascii()) or name


_SYMBOLS = "!#$%&*+-=?@^_~.:;,/\\|<>()[]{}'\"`§€"
_LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"


def password(rng: Random) -> str:
    """A password as people choose it (word, digits, symbol) or as a generator makes it; no blanks."""
    word, draw = rng.choice(words.PASSWORD_WORDS), rng.random()
    symbol, digits = rng.choice(_SYMBOLS[:16]), str(rng.randrange(10 ** rng.randrange(1, 5)))
    if draw < 0.2:
        return f"{word.capitalize()}{symbol}{digits}"
    if draw < 0.35:
        return f"{word.capitalize()}{digits}{rng.choice('!!!?$#*%+')}"
    if draw < 0.45:
        return f"{word}{rng.choice('-_.+/')}{rng.choice(words.PASSWORD_WORDS)}{rng.choice('-_.+/')}{digits}"
    if draw < 0.55:
        swapped = word.translate(str.maketrans("aeois", "4301$"))
        return f"{swapped}{symbol}{digits}"
    if draw < 0.62:
        return f"{rng.choice(('', '!', '$', '#', '+', '§'))}{word}{digits}"
    if draw < 0.66:
        return f"{rng.randrange(10**4, 10**8)}"
    return "".join(
        rng.choice(_LETTERS if rng.random() < 0.6 else "0123456789" if rng.random() < 0.5 else _SYMBOLS)
        for _ in range(rng.randrange(6, 17))
    )


def passphrase(rng: Random) -> str:
    """A password of two to six words with blanks between them."""
    chosen = [rng.choice(words.PASSWORD_WORDS) for _ in range(rng.randrange(2, 6))]
    if rng.random() < 0.4:
        chosen = [word.capitalize() for word in chosen]
    return " ".join([*chosen, str(rng.randrange(100))] if rng.random() < 0.3 else chosen)


def email(rng: Random) -> str:
    """An e-mail address of a person or a function."""
    first, last = plain(rng.choice(words.FIRST_NAMES)), plain(rng.choice(words.LAST_NAMES))
    local = rng.choice(
        (first, f"{first}.{last}", f"{first[0]}.{last}", f"{first}_{last}", rng.choice(words.TEAMS), f"{first}+{last}",
         rng.choice(words.HOST_ROLES), f"{rng.choice(words.THINGS)}-{rng.choice(words.TEAMS)}", f"{last}{rng.randrange(99)}")
    )  # fmt: skip
    return f"{local}@{domain(rng)}"


def name(rng: Random) -> str:
    """The name of a group, a share or another thing, of one to three words."""
    return name_of(rng, rng.choice((1, 1, 1, 1, 2, 2, 3)))


def name_of(rng: Random, count: int) -> str:
    """A name of `count` words (1 to about 8)."""
    if count <= 1:
        return short_name(rng)
    return " ".join([*(rng.choice(words.DOMAIN_WORDS) for _ in range(count - 2)), two_words(rng)])


def words_of(rng: Random, count: int) -> str:
    """`count` plain words."""
    return " ".join(rng.choice(words.PLAIN_WORDS) for _ in range(count))


def short_name(rng: Random) -> str:
    """A name of one word, often with a hyphen, an underscore or a year."""
    base, draw = rng.choice(rng.choice((words.TEAMS, words.THINGS))), rng.random()
    if draw < 0.5:
        return base
    other = rng.choice(rng.choice((words.TEAMS, words.SITES, words.DOMAIN_WORDS)))
    if draw < 0.75:
        return f"{other}{rng.choice('-_')}{base}"
    if draw < 0.85:
        return (
            f"{base}{rng.choice(('-', '_', ''))}{rng.choice((2023, 2024, 2025, 2026, rng.randrange(1, 99)))}"
        )
    if draw < 0.93:
        return base.capitalize()
    return f"{other}.{base}" if draw < 0.96 else f"{base}{rng.choice(('$', '@hq', '+', '#1', '_RW'))}"


def two_words(rng: Random) -> str:
    """A name of two words, now and then joined by "&"."""
    first = rng.choice(rng.choice((words.DOMAIN_WORDS, words.SITES, words.TEAMS)))
    second = rng.choice(rng.choice((words.TEAMS, words.THINGS)))
    joined = f"{first}{' & ' if rng.random() < 0.08 else ' '}{second}"
    return joined.title() if rng.random() < 0.5 else joined


def text(rng: Random) -> str:
    """A few plain words."""
    return words_of(rng, rng.randrange(1, 6))


# ---------------------------------------------------------------------------------------- paths and machine parts


def unix_path(rng: Random) -> str:
    """An absolute Unix path, e.g. `/srv/projects`."""
    folders = [rng.choice(words.FOLDERS) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    return "/" + "/".join([*folders, short_name(rng)]) + ("/" if rng.random() < 0.08 else "")


def windows_path(rng: Random) -> str:
    """A Windows path with a drive letter, blanks allowed, e.g. `D:\\Shares\\Old Files`."""
    depth = rng.choice((1, 1, 2, 3))
    folders = [rng.choice(words.WINDOWS_FOLDERS) for _ in range(depth)]
    return f"{rng.choice('CDEFGHSXZ')}:\\" + "\\".join(
        [*folders[:-1], rng.choice((folders[-1], short_name(rng)))]
    )


def unc_path(rng: Random) -> str:
    """A network path, e.g. `\\\\nas1\\scans`."""
    return "\\\\" + "\\".join([host_label(rng), *(short_name(rng) for _ in range(rng.choice((1, 1, 2))))])


def home_path(rng: Random) -> str:
    """A path under the home folder, e.g. `~/scans`."""
    return (
        f"~/{rng.choice(words.FOLDERS)}/{short_name(rng)}" if rng.random() < 0.5 else f"~/{short_name(rng)}"
    )


def relative_path(rng: Random) -> str:
    """A path from here, e.g. `./data/reports`."""
    return f"./{rng.choice(words.FOLDERS)}/{short_name(rng)}"


def service(rng: Random) -> str:
    """A service's name, e.g. `ssh`."""
    return rng.choice(words.SERVICES)


def port_number(rng: Random) -> str:
    """A port number, seven times in ten a well-known one."""
    return str(rng.choice(words.PORTS) if rng.random() < 0.7 else rng.randrange(1, 65536))


def linux_interface(rng: Random) -> str:
    """A network interface as Linux and BSD name it, e.g. `eth0`, `enp3s0`, `bond0.20`, `eth1:2`."""
    base = f"{rng.choice(words.LINUX_INTERFACES)}{rng.choice((0, 0, 0, 1, 1, 2, 3, rng.randrange(4, 20)))}"
    draw = rng.random()
    return (
        f"{base}.{rng.randrange(2, 4000)}"
        if draw < 0.08
        else f"{base}:{rng.randrange(4)}"
        if draw < 0.11
        else base
    )


def windows_interface(rng: Random) -> str:
    """A network interface as Windows names it, e.g. `Ethernet 2`."""
    base = rng.choice(words.WINDOWS_INTERFACES)
    return f"{base} {rng.randrange(1, 6)}" if rng.random() < 0.4 else base


def mac(rng: Random) -> str:
    """A hardware address, e.g. `52:54:00:1a:2b:3c`."""
    parts = [f"{rng.randrange(256):02x}" for _ in range(6)]
    joined = rng.choice(":-").join(parts)
    return joined.upper() if rng.random() < 0.4 else joined


def url(rng: Random) -> str:
    """An address of the web or of another service."""
    scheme = rng.choice(("https", "https", "http", "ftp", "ssh", "smb"))
    port = f":{rng.choice(words.PORTS)}" if rng.random() < 0.2 else ""
    tail = f"/{rng.choice(words.THINGS)}" if rng.random() < 0.6 else ""
    return f"{scheme}://{hostname(rng).lstrip('*.')}{port}{tail}"


# ---------------------------------------------------------------------------------------------- numbers and dates


def integer(rng: Random) -> str:
    """A whole number, small ones more often than large ones."""
    return str(rng.randrange(1, 10 ** rng.choice((1, 2, 2, 3, 4))))


def number(rng: Random) -> str:
    """A number, often with a decimal part."""
    if rng.random() < 0.4:
        return integer(rng)
    return f"{rng.randrange(1000)}{rng.choice('..,')}{rng.randrange(1, 100)}"


def date(rng: Random) -> str:
    """A calendar date in one of five notations, 2020 to 2031."""
    day, month, year = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(2020, 2032)
    return rng.choice((
        f"{year}-{month:02d}-{day:02d}", f"{day:02d}.{month:02d}.{year}", f"{day}.{month}.{year % 100}",
        f"{month}/{day}/{year}", f"{day:02d}-{month:02d}-{year}",
    ))  # fmt: skip


GENERATORS: dict[str, Generator] = {
    "text": text,
    "word": _either(short_name, email, hostname, username),
    "username": username,
    "password": lambda rng: passphrase(rng) if rng.random() < 0.1 else password(rng),
    "name": name,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "ip": _either(ipv4, ipv4, ipv6),
    "cidr": _either(cidr4, cidr4, cidr6),
    "ip-or-cidr": _either(ipv4, cidr4, ipv6, cidr6),
    "hostname": hostname,
    "host": _either(hostname, hostname, ipv4, ipv6),
    "email": email,
    "path": _either(unix_path, unix_path, unix_path, windows_path, unc_path, home_path),
    "integer": integer,
    "number": number,
    "port": lambda rng: port_number(rng) if rng.random() < 0.6 else service(rng),
    "interface": lambda rng: linux_interface(rng) if rng.random() < 0.75 else windows_interface(rng),
    "date": date,
    "mac": mac,
    "url": url,
}
"""Format name -> generator; every name of `FORMATS` has one."""
