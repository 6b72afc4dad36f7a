"""How to reach PostgreSQL: every connection of this program is opened here.

So a parameter of the URL works for all of them, and a refusal is named in the same words.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from contracts.outage_text import NO_ANSWER
from eventstore.libpq_url import DatabaseUrl, parse_url

Connect = Callable[[], Coroutine[Any, Any, asyncpg.Connection]]

VARIABLE = "SPREAVIEW_DATABASE_URL"
"""The variable that the sentences of this module name, unless the URL is from another one."""
READ_VARIABLE = "SPREAVIEW_READ_DATABASE_URL"
DIRECT_VARIABLE = "SPREAVIEW_DIRECT_DATABASE_URL"

CLOSING_SECONDS = 2.0
"""Time limit to close a connection: a frozen server never confirms the end."""

_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's codes of a certificate that cannot be verified; all others concern the authority."""


class DatabaseAccessError(ConnectionError):
    """The server refuses us or we refuse it: somebody has to change a setting or the server.

    The text is a sentence with the cause and the part of the URL to look at. Waiting may help,
    since credentials and certificates are replaced on servers that run.
    """

    def __init__(self, sentence: str, variable: str = VARIABLE) -> None:
        self.variable = variable
        super().__init__(sentence.replace(VARIABLE, variable))


class SilentDatabaseError(ConnectionError):
    """PostgreSQL does not answer in time. Not a `TimeoutError`, which may be any server's."""

    def __init__(self) -> None:
        super().__init__(NO_ANSWER)


async def connect(
    url: str,
    *,
    application_name: str,
    server_settings: Mapping[str, str],
    variable: str = VARIABLE,
    to_primary: bool = False,
) -> asyncpg.Connection:
    """Open a connection; certificates and passwords are read again each time.

    Args:
        url: libpq's.
        application_name: our name in `pg_stat_activity`. The URL's own name replaces its first
            word.
        server_settings: PostgreSQL's, for this session; they win over the URL's `options`.
        variable: the variable that holds the URL; errors name it.
        to_primary: refuse a replica, on which LISTEN and writes fail.

    Raises:
        DatabaseAccessError: the server answers, and refuses us or is refused.
        OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: it does not answer,
            or takes no connections now.
    """
    try:
        wanted = parse_url(url)
    except ValueError as error:
        raise DatabaseAccessError(f"{VARIABLE}: {error}", variable) from None
    name = application_name
    if wanted.application_name is not None:
        _, blank, rest = application_name.partition(" ")
        name = f"{wanted.application_name}{blank}{rest}"
    _check_files(wanted, variable)
    arguments: dict[str, Any] = {}
    try:
        if wanted.trusts_system:
            arguments["ssl"] = _system_context(wanted)
        connection = await asyncpg.connect(
            wanted.dsn,
            timeout=wanted.connect_seconds,
            server_settings={"application_name": name[:63], **server_settings},
            **arguments,
        )
    except (OSError, asyncpg.PostgresError, ValueError, asyncpg.InternalClientError) as error:
        sentence = _sentence(wanted, error)
        if sentence is None:
            raise
        raise DatabaseAccessError(sentence, variable) from error
    if to_primary:
        await _refuse_replica(connection, wanted.connect_seconds, variable)
    return connection


async def _refuse_replica(connection: asyncpg.Connection, seconds: float, variable: str) -> None:
    try:
        if await connection.fetchval("SELECT pg_is_in_recovery()", timeout=seconds):
            raise DatabaseAccessError(
                f"{VARIABLE} leads to a replica. Remedy: set it to the primary", variable
            )
    except BaseException:
        connection.terminate()
        raise


@asynccontextmanager
async def connected(connect: Connect) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection while the block runs; its end takes at most `CLOSING_SECONDS`."""
    connection = await connect()
    try:
        yield connection
    finally:
        with suppress(TimeoutError):  # the driver has dropped the connection then
            await connection.close(timeout=CLOSING_SECONDS)


def transport_of(connection: Any) -> asyncio.Transport:
    """Return the transport of a connection; asyncpg has no public access to it."""
    transport: asyncio.Transport = connection._transport  # noqa: SLF001
    return transport


def _check_files(wanted: DatabaseUrl, variable: str) -> None:
    for name, file in wanted.files.items():
        try:
            Path(file).open("rb").close()
        except OSError as error:
            raise DatabaseAccessError(
                f"{file} cannot be read: {error.strerror}. Check {VARIABLE}: its {name}.", variable
            ) from error


def _system_context(wanted: DatabaseUrl) -> ssl.SSLContext:
    given, context = wanted.parameters, ssl.create_default_context()
    if (certificate := given.get("sslcert")) is not None:
        # Without a password OpenSSL would ask for one on the terminal.
        password = given.get("sslpassword", "")
        context.load_cert_chain(certificate, given.get("sslkey"), password=password)
    return context


def _sentence(wanted: DatabaseUrl, error: BaseException | None) -> str | None:
    """Name the cause and the part of the URL to check; None if the server does not answer."""
    match error:
        case asyncpg.InvalidPasswordError():
            return _said(error, "the user name and the password in it")
        case asyncpg.InvalidCatalogNameError():
            return _said(error, "the database in it, or create that")
        case asyncpg.InvalidAuthorizationSpecificationError():
            return _said(error, _where_refused(str(error)))
        case asyncpg.ProtocolViolationError() if "startup parameter" in str(error):
            return (
                f"A pooler refuses the connection: {error.args[0]}. Check {VARIABLE}: name "
                "PostgreSQL itself, or add the parameter to the pooler's ignore_startup_parameters."
            )
        case asyncpg.TargetServerAttributeNotMatched():
            return _said(error, "its target_session_attrs and the servers")
        case ssl.SSLCertVerificationError():
            return _untrusted(error)
        case ssl.SSLError() if "ALERT" in (error.reason or ""):
            said = (error.reason or "").lower().replace("_", " ")
            return f"PostgreSQL refuses our certificate ({said}). Check {VARIABLE}: its sslcert."
        case ssl.SSLError():
            return (
                f"A certificate or its key cannot be used, or the server does not speak TLS "
                f"({error.reason}). Check {VARIABLE}: its sslrootcert, sslcert, sslkey and sslmode."
            )
        case ConnectionError() if "rejected SSL upgrade" in str(error):
            return (
                f"PostgreSQL does not offer TLS. Check {VARIABLE}: its sslmode, and ssl on the "
                "server."
            )
        case asyncpg.ConnectionDoesNotExistError():
            # With TLS 1.3 the server looks at our certificate after the handshake.
            if (found := _sentence(wanted, error.__cause__)) is not None:
                return found
            if "sslcert" in wanted.parameters:
                return (
                    "PostgreSQL closed the connection at once; it may refuse our certificate. "
                    f"Check {VARIABLE}: its sslcert, which may have expired."
                )
        case asyncpg.ClientConfigurationError() if "root certificate" in str(error):
            return (
                "No authority is known that could verify the certificate of PostgreSQL. Check "
                f"{VARIABLE}: its sslrootcert names a file, or is system for those of the system."
            )
        case asyncpg.ClientConfigurationError():
            return f"{error.args[0]}. Check {VARIABLE}."
    return None


def _said(error: BaseException, look: str) -> str:
    return f"PostgreSQL refuses the connection: {error.args[0]}. Check {VARIABLE}: {look}."


def _where_refused(said: str) -> str:
    if "no encryption" in said or "SSL off" in said:
        return "its sslmode, since the server may take encrypted connections only"
    if "certificate" in said:
        return "its sslcert and sslkey"
    return "its user and database, and pg_hba.conf on the server"


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return (
            f"The certificate of PostgreSQL is not valid now: {said}. Renew it on the server that "
            f"{VARIABLE} names, or check the clock of this machine."
        )
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return (
            f"The certificate of PostgreSQL is for another host: {said}. Check {VARIABLE}: its "
            "host must be the name in the certificate."
        )
    return (
        f"The certificate of PostgreSQL is not trusted: {said}. Check {VARIABLE}: its sslrootcert "
        "must hold the authority that has signed the server's certificate."
    )
