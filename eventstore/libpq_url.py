"""A URL of PostgreSQL as libpq reads it.

Every parameter works, or is refused by name: one that is ignored in silence may be the one that was
to protect the connection.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

CONNECT_SECONDS = 10.0

SYSTEM = "system"
"""libpq's name for the authorities that the system trusts."""

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Parameters that name a file."""

_WHERE = {"host", "port", "dbname", "user", "password", "passfile", "service", "options"}
_TLS = {"sslmode", "sslnegotiation", "sslpassword", *FILES}
_TLS_VERSIONS = {"ssl_min_protocol_version", "ssl_max_protocol_version"}
_PASSED_ON = _WHERE | _TLS | _TLS_VERSIONS | {"target_session_attrs", "krbsrvname", "gsslib"}
"""Parameters that asyncpg reads as libpq does."""
_OURS = {"application_name", "fallback_application_name", "connect_timeout"}
_HARMLESS = {
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "client_encoding": ("utf8", "UTF8", "auto"),
    "sslcompression": ("0",),
    "sslsni": ("1",),
    "load_balance_hosts": ("disable",),
}
"""Values that ask for the default behaviour."""
_KEEP_ALIVE = {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
_SET_HERE = {*_KEEP_ALIVE, "tcp_user_timeout"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL whose parameters are known to work. Made by `parse_url`; its repr holds no secret."""

    dsn: str = field(repr=False)
    """For asyncpg, without what it does not know."""
    parameters: Mapping[str, str] = field(repr=False)
    """All that were given."""
    connect_seconds: float

    @property
    def application_name(self) -> str | None:
        """The name that `pg_stat_activity` is to show, if the URL gives one."""
        given = self.parameters
        return given.get("application_name") or given.get("fallback_application_name")

    @property
    def trusts_system(self) -> bool:
        """Whether the system's authorities verify the server's certificate."""
        return self.parameters.get("sslrootcert") == SYSTEM

    @property
    def files(self) -> dict[str, str]:
        """The files that are named, by parameter."""
        given = self.parameters
        named = {name: given[name] for name in FILES if given.get(name)}
        return {name: file for name, file in named.items() if file != SYSTEM}


def parse_url(url: str) -> DatabaseUrl:
    """Read a URL. Raises ValueError, whose text names the parameter and the remedy."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL: a bracket of an IPv6 address may be missing") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("is not a postgresql:// URL")
    _check_authority(parts)
    given = _parameters(parts.query)
    for name, value in given.items():
        _check(name, value)
    passed = {name: value for name, value in given.items() if name in _PASSED_ON}
    if passed.get("sslrootcert") == SYSTEM:
        if given.get("sslmode", "verify-full") != "verify-full":
            raise ValueError("sslrootcert=system needs sslmode=verify-full, which is its default")
        passed = {name: value for name, value in passed.items() if not name.startswith("ssl")}
    return DatabaseUrl(
        _with_parameters(parts, passed), given, _seconds(given.get("connect_timeout"))
    )


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    shown = re.sub(r"(?<=://)([^/?#@:]*):.*@", r"\1:***@", url, count=1)
    return re.sub(r"(?<=[?&])(password|sslpassword)=[^&#]*", r"\1=***", shown)


def _check_authority(parts: SplitResult) -> None:
    """Raise ValueError if user, password, hosts and ports cannot be separated safely."""
    rest = f"{parts.path}{parts.query}{parts.fragment}"
    if parts.netloc.count("@") > 1 or ("@" in rest and "@" not in parts.netloc):
        raise ValueError(
            "has a character in its user name or password that must be percent-encoded "
            "(@ is %40, / is %2F, ? is %3F, # is %23)"
        )
    for host in filter(None, parts.netloc.rpartition("@")[2].split(",")):
        port = re.fullmatch(r"(?:\[[^]]*\]|[^:]*)(?::(\d*))?", host)
        if port is None or int(port[1] or 1) > 65535:
            raise ValueError("has a host that is not host or host:port")


def _parameters(query: str) -> dict[str, str]:
    """As libpq reads them: only percent signs are special, and the last one of a name counts."""
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"has a parameter without a value: {unquote(name)}")
        found[unquote(name)] = unquote(value)
    return found


def _check(name: str, value: str) -> None:
    """Raise ValueError unless the parameter works or asks for the default behaviour."""
    if name == "sslmode" and value not in _SSL_MODES:
        raise ValueError(f"sslmode={value} is not one of {', '.join(_SSL_MODES)}")
    if name in _PASSED_ON or name in _OURS or value in _HARMLESS.get(name, ()):
        return
    if name == "channel_binding":
        raise ValueError(
            "channel_binding=require is not supported. Remove it, and protect the connection by "
            "sslmode=verify-full"
        )
    if name in _SET_HERE:
        raise ValueError(f"{name} is not supported. Remove it: connections are kept alive anyway")
    if name in _HARMLESS:
        raise ValueError(
            f"{name}={value} is not supported. Remove it, or set it to {_HARMLESS[name][0]}"
        )
    raise ValueError(
        f"{name} is not a parameter that is supported. Remove it; a setting of the server can be "
        "given as options=-c%20name%3Dvalue"
    )


def _with_parameters(parts: SplitResult, parameters: Mapping[str, str]) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return parts._replace(scheme="postgresql", query=query, fragment="").geturl()


def _seconds(text: str | None) -> float:
    """As libpq: whole seconds, at least 2; zero or less means no limit, for which ours stands."""
    if text is None:
        return CONNECT_SECONDS
    try:
        seconds = int(text)
    except ValueError:
        raise ValueError(f"connect_timeout={text} is not a whole number of seconds") from None
    return float(max(seconds, 2)) if seconds > 0 else CONNECT_SECONDS
