"""How to reach Kafka: the brokers, and how each side proves who it is.

Every client of this program is made from a `KafkaConnection`, so all of them take the same servers,
certificates and user.
"""

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaConnectionError

if TYPE_CHECKING:
    from faststream.security import BaseSecurity

PREFIX = "SPREAVIEW_KAFKA_"
"""Begins the name of every variable that describes the connection."""


class SecurityProtocol(StrEnum):
    """How a broker's port is protected. The names are Kafka's."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted and the broker shows a certificate."""
        return self in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def has_user(self) -> bool:
        """Whether the broker requires a user name and a password."""
        return self in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


class SaslMechanism(StrEnum):
    """How a user name and a password are proven. The names are Kafka's."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaAccessError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is untyped
    """The broker refuses us or we refuse the broker: somebody has to change a setting or a server.

    The text is a sentence with the cause, the variable to look at and the remedy. Waiting may help,
    since credentials and certificates are replaced on servers that run.
    """

    def __init__(self, sentence: str, variable: str) -> None:
        super().__init__(sentence)
        self.variable = variable
        """The environment variable to look at first."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnreachableError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is untyped
    """No broker answers at an address; the text is a sentence with the address and the reason."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """The brokers and how to reach them. Its text and its repr hold no secret.

    Raises ValueError for a combination that makes no sense; the text names the variable and the
    remedy.

    Args:
        bootstrap_servers: `host:port`, separated by commas.
        protocol: how the brokers' ports are protected.
        mechanism: with SASL, how the password is proven.
        username: with SASL.
        password: with SASL.
        ca_file: with TLS, the authorities to trust as PEM; by default the system's.
        certificate_file: with TLS, the certificate that we show, as PEM.
        key_file: its key as PEM; None if it is in the same file.
    """

    bootstrap_servers: str
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    mechanism: SaslMechanism | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        for_users = {
            "SASL_MECHANISM": self.mechanism,
            "SASL_USERNAME": self.username,
            "SASL_PASSWORD": self.password,
        }
        for_tls = {
            "CA_FILE": self.ca_file,
            "CERTIFICATE_FILE": self.certificate_file,
            "KEY_FILE": self.key_file,
        }
        for name, value in for_users.items():
            if self.protocol.has_user and value is None:
                raise ValueError(
                    f"{PREFIX}{name} is not set, and {PREFIX}SECURITY_PROTOCOL is {self.protocol}. "
                    f"Set it{_choices(name)}, or use a protocol without SASL: PLAINTEXT or SSL"
                )
            if not self.protocol.has_user and value is not None:
                raise _unused(name, self.protocol, "SASL_SSL")
        for name, file in for_tls.items():
            if not self.protocol.has_tls and file is not None:
                raise _unused(name, self.protocol, "SASL_SSL" if self.protocol.has_user else "SSL")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError(
                f"{PREFIX}KEY_FILE is set, and {PREFIX}CERTIFICATE_FILE is not. Set both, or "
                "neither if the broker asks for no certificate of its clients"
            )

    def __str__(self) -> str:
        return self.bootstrap_servers

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for an aiokafka client; each call reads the files.

        Raises:
            KafkaAccessError: a file is missing, not readable, or has other contents than expected.
        """
        return {"bootstrap_servers": self.bootstrap_servers, **self._security()}

    def for_faststream(self) -> "BaseSecurity | None":
        """Return the security settings for FastStream's broker. Raises as `arguments`."""
        from faststream import security  # slow to import, and only services need it

        context = self._security().get("ssl_context")
        if self.mechanism is None:
            return None if context is None else security.BaseSecurity(ssl_context=context)
        sasl = {
            SaslMechanism.PLAIN: security.SASLPlaintext,
            SaslMechanism.SCRAM_SHA_256: security.SASLScram256,
            SaslMechanism.SCRAM_SHA_512: security.SASLScram512,
        }[self.mechanism]
        return sasl(self.username or "", self.password or "", ssl_context=context)

    def _security(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"security_protocol": self.protocol.value}
        if self.protocol.has_tls:
            arguments["ssl_context"] = self._context()
        if self.mechanism is not None:
            arguments["sasl_mechanism"] = self.mechanism.value
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise _unusable("CA_FILE", self.ca_file, error, "certificates as PEM") from error
        if self.certificate_file is not None:
            self._load(context, self.certificate_file)
        return context

    def _load(self, context: ssl.SSLContext, certificate_file: Path) -> None:
        """Add our certificate to a context."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate_file)
        except OSError as error:
            expected = "a certificate as PEM"
            raise _unusable("CERTIFICATE_FILE", certificate_file, error, expected) from error
        name, file = "CERTIFICATE_FILE", certificate_file
        if self.key_file is not None:
            name, file = "KEY_FILE", self.key_file
        try:
            # Without this argument OpenSSL would prompt for a password on the terminal.
            context.load_cert_chain(certificate_file, self.key_file, password="")
        except OSError as error:
            expected = "the certificate's key as PEM without a passphrase"
            raise _unusable(name, file, error, expected) from error


def _choices(name: str) -> str:
    return f" to one of {', '.join(SaslMechanism)}" if name == "SASL_MECHANISM" else ""


def _unused(name: str, protocol: SecurityProtocol, other: SecurityProtocol | str) -> ValueError:
    return ValueError(
        f"{PREFIX}{name} is set, but {PREFIX}SECURITY_PROTOCOL is {protocol}, which does not use "
        f"it. Set the protocol to {other}, or unset {PREFIX}{name}"
    )


def _unusable(name: str, file: Path | None, error: OSError, expected: str) -> KafkaAccessError:
    variable = f"{PREFIX}{name}"
    if isinstance(error, ssl.SSLError):
        said = f"does not hold {expected} ({error.reason})"
    else:
        said = f"cannot be read: {error.strerror}"
    return KafkaAccessError(f"{variable}: {file} {said}", variable)
