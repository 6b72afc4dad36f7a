"""`DATA_DIR/run.json`: the addresses of a running `up`, for the other commands."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.connections import Addresses, DatabaseAddress
from cli.data_folder import is_claimed, usable
from cli.settings import SESSIONIZE_API, Settings, SettingsError, missing
from eventstore.connection import DIRECT_VARIABLE, READ_VARIABLE
from messaging.connection import KafkaConnection, SaslMechanism, SecurityProtocol

_NAME = "run.json"
_SECURITY = "kafka_security"


@contextmanager
def announced(data_dir: Path, addresses: Addresses) -> Iterator[None]:
    """Publish the addresses for other commands while the block runs, in a claimed folder.

    Raises:
        SettingsError: the file cannot be written.
    """
    path = data_dir / _NAME
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        with usable(data_dir):
            temporary.touch(mode=0o600)  # the database's address may hold a password
            temporary.write_text(json.dumps(_written(addresses)), "utf-8")
            temporary.replace(path)
        yield
    finally:
        for left in (path, temporary):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def resolve(settings: Settings) -> Addresses:
    """The addresses from the settings, or from a running `up`, and never from both.

    As soon as a setting names a database or a broker, a running `up` does not count: a command that
    is meant for other servers must not reach those of the sandbox. `SPREAVIEW_SESSIONIZE_BASE_URL`
    alone names no server of ours and replaces that address of `up`.

    Raises:
        SettingsError: an address is missing; the text names the variable.
    """
    running = _running_up(settings)
    if running is not None:
        sessionize = settings.sessionize_base_url or running.sessionize_base_url
        return running._replace(sessionize_base_url=sessionize)
    return addresses_of(settings, resolve_database(settings), resolve_kafka(settings))


def addresses_of(settings: Settings, database_url: str, kafka: KafkaConnection) -> Addresses:
    """These servers, with everything else that the settings say about them."""
    return Addresses(
        database_url,
        kafka,
        settings.sessionize_base_url or SESSIONIZE_API,
        settings.kafka_transactions,
        settings.direct_database_url,
    )


def resolve_database(settings: Settings) -> str:
    """The address of the database only. Raises like `resolve`."""
    if settings.database_url is not None:
        return settings.database_url
    running = _running_up(settings)
    if running is None:
        raise missing("database_url", settings.named_servers)
    return running.database_url


def resolve_replica(settings: Settings) -> DatabaseAddress:
    """The database to read the read models from. Raises as `resolve`."""
    if settings.read_database_url is not None:
        return DatabaseAddress(settings.read_database_url, READ_VARIABLE)
    return DatabaseAddress(resolve_database(settings))


def resolve_direct(settings: Settings) -> DatabaseAddress:
    """The database where session locks work. Raises as `resolve`."""
    if settings.direct_database_url is not None:
        return DatabaseAddress(settings.direct_database_url, DIRECT_VARIABLE)
    running = _running_up(settings)
    if running is not None:
        return running.for_sessions
    return DatabaseAddress(resolve_database(settings))


def resolve_kafka(settings: Settings) -> KafkaConnection:
    """The connection to the broker only. Raises like `resolve`."""
    if settings.kafka_bootstrap_servers is not None:
        return settings.kafka_connection(settings.kafka_bootstrap_servers)
    running = _running_up(settings)
    if running is None:
        raise missing("kafka_bootstrap_servers", settings.named_servers)
    return running.kafka


def resolve_sessionize(settings: Settings) -> str:
    """The base URL of Sessionize: the setting, or the one of a running `up`, or the real one."""
    if settings.sessionize_base_url is not None:
        return settings.sessionize_base_url
    running = _running_up(settings)
    return running.sessionize_base_url if running else SESSIONIZE_API


def _running_up(settings: Settings) -> Addresses | None:
    """The addresses of a running `up`, unless the settings name servers. Raises as `_read`."""
    return None if settings.named_servers else _read(settings.data_dir)


def _written(addresses: Addresses) -> dict[str, object]:
    """The content of the file. It may hold passwords, so only its owner can read the file."""
    kafka = asdict(addresses.kafka)
    security = {name: str(value) for name, value in kafka.items() if value is not None}
    servers = security.pop("bootstrap_servers")
    return {**addresses._asdict(), "kafka": servers, _SECURITY: security}


def _as_written(told: dict[str, Any]) -> Addresses:
    security = told.pop(_SECURITY, {})
    for name in ("ca_file", "certificate_file", "key_file"):
        if name in security:
            security[name] = Path(security[name])
    if "protocol" in security:
        security["protocol"] = SecurityProtocol(security["protocol"])
    if "mechanism" in security:
        security["mechanism"] = SaslMechanism(security["mechanism"])
    return Addresses(**told | {"kafka": KafkaConnection(told["kafka"], **security)})


def _read(data_dir: Path) -> Addresses | None:
    """The addresses of a running `up`; None if none runs, or has all its servers yet.

    Raises:
        SettingsError: an `up` runs, and its addresses cannot be read.
    """
    if not is_claimed(data_dir):
        return None
    path = data_dir / _NAME
    try:
        return _as_written(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            f"{path}, which has the addresses of the running sandbox, cannot be read: "
            f"{error.strerror}. Remedy: run this as the user that runs spreaview-sync up, or set "
            "SPREAVIEW_DATABASE_URL and SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS"
        ) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise SettingsError(
            f"{path} does not hold the addresses of the running sandbox. Remedy: stop "
            "spreaview-sync up and start it again"
        ) from error
