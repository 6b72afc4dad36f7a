"""Listeners of a broker that require TLS or a user, each on a separate port."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.certificates import Authority
from tests.support.kafka.broker import LOOPBACK

SASL_SSL = "SASLSSL"
"""TLS and a user, by PLAIN or SCRAM."""
SASL_PLAINTEXT = "SASLPLAIN"
"""A user and no TLS, by SCRAM-SHA-256 only."""
MUTUAL = "MUTUAL"
"""TLS with a certificate of the client."""
EXPIRED = "EXPIRED"
"""TLS with a certificate of the server that has expired."""
ELSEWHERE = "ELSEWHERE"
"""TLS with a certificate of the server for another host."""

_PROTOCOLS = {
    SASL_SSL: "SASL_SSL",
    SASL_PLAINTEXT: "SASL_PLAINTEXT",
    MUTUAL: "SSL",
    EXPIRED: "SSL",
    ELSEWHERE: "SSL",
}


class User(NamedTuple):
    """A user who may connect by every mechanism of SASL."""

    name: str
    password: str


class SecuredListeners:
    """The listeners named above, with certificates in a folder, and one user.

    Args:
        folder: gets the key stores.
        authority: signs the certificates of the broker and of its clients.
        user: the one who may connect by SASL.
    """

    def __init__(self, folder: Path, authority: Authority, user: User) -> None:
        self._authority = authority
        self._user = user
        certificates = {
            EXPIRED: authority.issue("expired-broker", expired=True),
            ELSEWHERE: authority.issue("broker-elsewhere", host="kafka.example.org"),
        }
        everywhere_else = authority.issue("broker")
        self._stores: dict[str, Path] = {}
        for name, protocol in _PROTOCOLS.items():
            if protocol.endswith("SSL"):
                store = self._stores[name] = folder / f"{name}.keystore.pem"
                store.touch(mode=0o600)
                store.write_text(certificates.get(name, everywhere_else).chain_and_key, "utf-8")

    names = tuple(_PROTOCOLS)

    @staticmethod
    def protocol_map() -> str:
        """For `listener.security.protocol.map`, beginning with a comma."""
        return "".join(f",{name}:{protocol}" for name, protocol in _PROTOCOLS.items())

    @staticmethod
    def addresses(ports: Mapping[str, int]) -> str:
        """For `listeners` and `advertised.listeners`, beginning with a comma."""
        return "".join(f",{name}://{LOOPBACK}:{port}" for name, port in ports.items())

    def properties(self) -> str:
        """The listeners' settings other than their ports."""
        user, password = self._user
        plain = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'user_{user}="{password}";'
        )
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        prefix = f"listener.name.{SASL_SSL.lower()}"
        lines = [
            f"{prefix}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{prefix}.plain.sasl.jaas.config={plain}",
            f"{prefix}.scram-sha-256.sasl.jaas.config={scram}",
            f"{prefix}.scram-sha-512.sasl.jaas.config={scram}",
        ]
        prefix = f"listener.name.{SASL_PLAINTEXT.lower()}"
        lines += [
            f"{prefix}.sasl.enabled.mechanisms=SCRAM-SHA-256",
            f"{prefix}.scram-sha-256.sasl.jaas.config={scram}",
            f"listener.name.{MUTUAL.lower()}.ssl.client.auth=required",
        ]
        for name, store in self._stores.items():
            prefix = f"listener.name.{name.lower()}"
            lines += [
                f"{prefix}.ssl.keystore.type=PEM",
                f"{prefix}.ssl.keystore.location={store}",
                f"{prefix}.ssl.truststore.type=PEM",
                f"{prefix}.ssl.truststore.location={self._authority.ca_file}",
            ]
        return "\n".join(lines) + "\n"

    def format_arguments(self) -> list[str]:
        """For `StorageTool format`: the user, as SCRAM keeps it."""
        user, password = self._user
        arguments: list[str] = []
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        return arguments
