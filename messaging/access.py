"""The cause of a failed connection to Kafka.

aiokafka's clients log the cause and raise "unable to bootstrap", or nothing at all once they have
started. This module opens one connection by hand, whose error names the cause.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from contracts.outage_text import describe_outage
from messaging.connection import PREFIX, KafkaAccessError, KafkaConnection, UnreachableError

_ANSWER_MS = 3_000
_CHECK_SECONDS = 4.0

_Broker = tuple[str, int]

_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's codes of a certificate that cannot be verified; all others concern the authority."""
_SILENT_ENDS = (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError, ssl.SSLEOFError)


@asynccontextmanager
async def explaining(connection: KafkaConnection) -> AsyncIterator[None]:
    """Replace an error of the block, in which a client starts, by one that names its cause.

    Raises:
        KafkaAccessError: a broker answers, and refuses us or is refused.
        aiokafka.errors.KafkaError: no broker answers; the text has the operating system's error.
    """
    try:
        yield
    except KafkaAccessError:
        raise
    except KafkaError as error:
        if not error.retriable and not isinstance(error, KafkaConnectionError):
            raise
        try:
            await check(connection)
        except KafkaConnectionError as cause:
            raise cause from error
        except TimeoutError:
            pass  # the client's own error is raised
        raise


async def check(connection: KafkaConnection) -> None:
    """Return if the brokers accept this connection; some of them may be down.

    Raises:
        KafkaAccessError: one of them answers, and refuses us or is refused.
        aiokafka.errors.KafkaConnectionError: no bootstrap server accepts a connection.
        TimeoutError: no server answers in time.
    """
    async with asyncio.timeout(_CHECK_SECONDS):
        errors: list[KafkaConnectionError] = []
        for server in bootstrap_servers(connection):
            try:
                brokers = await _brokers(connection, server)
                break
            except (KafkaError, OSError, ValueError) as error:
                errors.append(_explained(connection, server, error))
        else:
            errors.sort(key=lambda error: not isinstance(error, KafkaAccessError))
            raise errors[0]
        for broker in brokers:
            try:
                await _brokers(connection, broker)
            except (KafkaError, OSError, ValueError) as error:
                explained = _explained(connection, broker, error)
                if isinstance(explained, KafkaAccessError):
                    raise explained from error


def bootstrap_servers(connection: KafkaConnection) -> Iterator[_Broker]:
    """Yield the host and the port of each bootstrap server."""
    for server in connection.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        yield host.strip("[]"), int(port)


async def _brokers(connection: KafkaConnection, server: _Broker) -> list[_Broker]:
    """Return the brokers of the cluster, as this one lists them."""
    arguments = connection.arguments()
    del arguments["bootstrap_servers"]
    opened: AIOKafkaConnection = await create_conn(
        *server, request_timeout_ms=_ANSWER_MS, **arguments
    )
    try:
        answer = await opened.send(MetadataRequest([]))
        return [(host, port) for _, host, port, *_ in answer.brokers]
    finally:
        opened.close()


def _explained(
    connection: KafkaConnection, server: _Broker, error: Exception
) -> KafkaConnectionError:
    """Return an error whose sentence names a variable, or else the server's address."""
    if isinstance(error, KafkaAccessError):
        return error
    where = f"Kafka at {server[0]}:{server[1]}"
    chain = list(_causes(error))
    for cause in chain:
        if (found := _reason(connection, where, cause)) is not None:
            return found
    return UnreachableError(f"{where} does not answer: {describe_outage(chain[-1])}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(
    connection: KafkaConnection, where: str, error: BaseException
) -> KafkaAccessError | None:
    protocol, mechanism = connection.protocol, connection.mechanism
    match error:
        case SaslAuthenticationFailed():
            return _error(
                f"{where} refuses user {connection.username!r}: wrong user name or password.",
                "SASL_PASSWORD",
                f"it and {PREFIX}SASL_USERNAME must be known there by {mechanism}.",
            )
        case UnsupportedSaslMechanismError():
            return _error(
                f"{where} does not offer {mechanism}.",
                "SASL_MECHANISM",
                "set it to a mechanism that is enabled on the broker.",
            )
        case IllegalSaslStateError():
            return _error(
                f"{where} asks for no user.",
                "SECURITY_PROTOCOL",
                f"it is {protocol}; set it to {'SSL' if protocol.has_tls else 'PLAINTEXT'}, or "
                f"name a port with SASL in {PREFIX}BOOTSTRAP_SERVERS.",
            )
        case ssl.SSLCertVerificationError():
            return _untrusted(where, error)
        case ssl.SSLError() if "ALERT" in (error.reason or ""):
            return _refused_certificate(connection, where, error.reason or "")
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError):
            return _closed(connection, where, f"does not speak TLS ({error.reason})")
        case _ if isinstance(error, _SILENT_ENDS):
            return _closed(connection, where, "closed the connection instead of answering")
    return None


def _untrusted(where: str, error: ssl.SSLCertVerificationError) -> KafkaAccessError:
    said = error.verify_message.rstrip(".")
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return _error(
            f"The certificate of {where} is not valid now: {said}.",
            "BOOTSTRAP_SERVERS",
            "renew the broker's certificate, or check the clock of this machine.",
        )
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return _error(
            f"The certificate of {where} is for another host: {said}.",
            "BOOTSTRAP_SERVERS",
            "name the broker as its certificate does; it may also advertise a wrong name.",
        )
    return _error(
        f"The certificate of {where} is not trusted: {said}.",
        "CA_FILE",
        "it must hold the authority that has signed the broker's certificate.",
    )


def _refused_certificate(connection: KafkaConnection, where: str, reason: str) -> KafkaAccessError:
    said = reason.lower().replace("_", " ")
    if connection.certificate_file is None:
        return _error(
            f"{where} asks for a certificate of ours ({said}).",
            "CERTIFICATE_FILE",
            f"set it and {PREFIX}KEY_FILE.",
        )
    return _error(
        f"{where} refuses the certificate in {connection.certificate_file} ({said}).",
        "CERTIFICATE_FILE",
        "it may have expired, or its authority is unknown to the broker.",
    )


def _closed(connection: KafkaConnection, where: str, what: str) -> KafkaAccessError:
    protocol = connection.protocol
    return _error(
        f"{where} {what}.",
        "SECURITY_PROTOCOL",
        f"it is {protocol}; the port may want another one, or no broker is ready behind it.",
    )


def _error(cause: str, name: str, remedy: str) -> KafkaAccessError:
    variable = f"{PREFIX}{name}"
    return KafkaAccessError(f"{cause} Check {variable}: {remedy}", variable)
