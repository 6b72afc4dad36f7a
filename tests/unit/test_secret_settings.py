"""Settings of the connections: refused where they make no sense; secrets stay secret."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from cli.connections import Addresses
from cli.data_folder import claimed
from cli.runfile import announced, resolve
from cli.settings import Settings, SettingsError, load_settings
from messaging.connection import (
    KafkaAccessError,
    KafkaConnection,
    SaslMechanism,
    SecurityProtocol,
)
from tests.support.certificates import Authority

SASL_SSL = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "importer",
    "KAFKA_SASL_PASSWORD": "s3cret",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SPREAVIEW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPREAVIEW_DATA_DIR", str(tmp_path))


def give(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"SPREAVIEW_{name}", value)


def refused(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> str:
    give(monkeypatch, settings)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert "s3cret" not in said
    return said


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in SASL_SSL.items() if key != name}


def test_a_secured_broker_is_taken_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, SASL_SSL)
    settings = load_settings()
    assert settings.kafka_connection("x:1") == KafkaConnection(
        "x:1",
        SecurityProtocol.SASL_SSL,
        SaslMechanism.SCRAM_SHA_512,
        "importer",
        "s3cret",
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (SASL_SSL | {"KAFKA_SASL_MECHANISM": "OAUTHBEARER"}, "KAFKA_SASL_MECHANISM: OAUTHBEARER"),
        (SASL_SSL | {"KAFKA_SASL_MECHANISM": "MD5"}, "KAFKA_SASL_MECHANISM"),
        (SASL_SSL | {"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        (without("KAFKA_SASL_MECHANISM"), "KAFKA_SASL_MECHANISM is not set"),
        (without("KAFKA_SASL_USERNAME"), "KAFKA_SASL_USERNAME is not set"),
        (without("KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD is not set"),
        (without("KAFKA_SECURITY_PROTOCOL"), "KAFKA_SASL_MECHANISM is set, but"),
        (without("KAFKA_BOOTSTRAP_SERVERS"), "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"KAFKA_SASL_USERNAME": "importer"}, "KAFKA_SASL_USERNAME is set, but"),
        (SASL_SSL | {"KAFKA_KEY_FILE": "/k"}, "KAFKA_CERTIFICATE_FILE is not"),
        (SASL_SSL | {"KAFKA_CA_FILE": "/nowhere"}, "KAFKA_CA_FILE: /nowhere cannot be read"),
        (
            SASL_SSL | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_CA_FILE": "/ca"},
            "KAFKA_CA_FILE is set, but",
        ),
        ({"DATABASE_URL": "postgresql://u:s3cret@h/x?sslmode=all"}, "DATABASE_URL: sslmode=all"),
    ],
)
def test_contradicting_settings_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str
) -> None:
    said = refused(monkeypatch, settings)
    assert f"SPREAVIEW_{named}" in said


@pytest.mark.parametrize("name", ["DATABASE_URL", "KAFKA_SASL_PASSWORD"])
def test_a_secret_comes_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    secret = "postgresql://u:s3cret@h/x" if name == "DATABASE_URL" else " s3cret with blanks "
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n", "utf-8")
    give(monkeypatch, without(name) | {f"{name}_FILE": str(file)})
    assert getattr(load_settings(), name.lower()) == secret


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"", "is empty"), (b"s3cret\xff", "UTF-8")]
)
def test_a_file_that_holds_no_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    named = {"KAFKA_SASL_PASSWORD_FILE": str(file)}
    told = refused(monkeypatch, without("KAFKA_SASL_PASSWORD") | named)
    assert "SPREAVIEW_KAFKA_SASL_PASSWORD_FILE" in told
    assert said in told


def test_a_secret_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = refused(monkeypatch, SASL_SSL | {"KAFKA_SASL_PASSWORD_FILE": str(tmp_path)})
    assert "SPREAVIEW_KAFKA_SASL_PASSWORD and SPREAVIEW_KAFKA_SASL_PASSWORD_FILE" in told


def test_no_repr_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, SASL_SSL | {"DATABASE_URL": "postgresql://u:s3cret@h/x?password=s3cret"})
    settings = load_settings()
    addresses = resolve(settings)
    for shown in (settings, addresses, addresses.kafka):
        assert "s3cret" not in f"{shown!r} {shown!s}"


def test_other_commands_find_a_secured_broker_of_a_running_up(tmp_path: Path) -> None:
    kafka = KafkaConnection(
        "h:1", SecurityProtocol.SASL_SSL, SaslMechanism.PLAIN, "u", "s3cret", Path("/ca.pem")
    )
    addresses = Addresses("postgresql://h/x", kafka, "http://127.0.0.1:1")
    with claimed(tmp_path), announced(tmp_path, addresses):
        assert resolve(Settings(data_dir=tmp_path)) == addresses
        assert (tmp_path / "run.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (SaslMechanism.PLAIN, SASLPlaintext),
        (SaslMechanism.SCRAM_SHA_256, SASLScram256),
        (SaslMechanism.SCRAM_SHA_512, SASLScram512),
    ],
)
def test_faststream_takes_the_same_user(
    mechanism: SaslMechanism, expected: type[SASLPlaintext]
) -> None:
    plain = KafkaConnection("h:1", SecurityProtocol.SASL_PLAINTEXT, mechanism, "u", "p")
    security = plain.for_faststream()
    assert type(security) is expected
    assert (security.username, security.password, security.use_ssl) == ("u", "p", False)
    encrypted = replace(plain, protocol=SecurityProtocol.SASL_SSL).for_faststream()
    assert encrypted is not None
    assert encrypted.use_ssl
    tls = KafkaConnection("h:1", SecurityProtocol.SSL).for_faststream()
    assert type(tls) is BaseSecurity
    assert tls.use_ssl
    assert KafkaConnection("h:1").for_faststream() is None


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    right, other = authority.issue("right"), authority.issue("other")
    locked = authority.issue("locked", passphrase="s3cret")
    tls = KafkaConnection("h:1", SecurityProtocol.SSL, certificate_file=right.certificate)
    replace(tls, key_file=right.key).arguments()
    for certificate, key in ((right, other.key), (locked, locked.key), (right, right.certificate)):
        wrong = replace(tls, certificate_file=certificate.certificate, key_file=key)
        with pytest.raises(KafkaAccessError, match=r"SPREAVIEW_KAFKA_KEY_FILE: .*passphrase"):
            wrong.arguments()
    with pytest.raises(KafkaAccessError, match=r"SPREAVIEW_KAFKA_CERTIFICATE_FILE: .* as PEM"):
        replace(tls, certificate_file=right.key).arguments()
    with pytest.raises(KafkaAccessError, match=r"SPREAVIEW_KAFKA_KEY_FILE: .* cannot be read"):
        replace(tls, key_file=tmp_path / "nowhere").arguments()
    with pytest.raises(KafkaAccessError, match=r"SPREAVIEW_KAFKA_CA_FILE: .* certificates as PEM"):
        replace(tls, ca_file=right.key).arguments()
