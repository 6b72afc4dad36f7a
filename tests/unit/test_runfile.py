"""All addresses come from the settings, or all from a running `up`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.connections import Addresses, DatabaseAddress
from cli.data_folder import claimed
from cli.runfile import (
    announced,
    resolve,
    resolve_database,
    resolve_direct,
    resolve_kafka,
    resolve_replica,
    resolve_sessionize,
)
from cli.settings import SESSIONIZE_API, Settings, SettingsError
from eventstore.connection import DIRECT_VARIABLE
from messaging.connection import KafkaConnection

RUNNING = Addresses(
    "postgresql://sandbox/x",
    KafkaConnection("sandbox:1"),
    "http://sandbox/api/v2",
    kafka_transactions=False,
    direct_database_url="postgresql://sandbox:5432/x",
)
DATABASE = "postgresql://named/x"
REPLICA = "postgresql://replica/x"
BROKER = "named:1"
ELSEWHERE = "https://example.org/api/v2"


@pytest.fixture(autouse=True)
def _running_up(tmp_path: Path) -> Iterator[None]:
    with claimed(tmp_path), announced(tmp_path, RUNNING):
        yield


def given(data_dir: Path, **settings: Any) -> Settings:
    return Settings(data_dir=data_dir, **settings)


def test_without_addresses_all_are_those_of_the_running_up(tmp_path: Path) -> None:
    settings = given(tmp_path)
    assert resolve(settings) == RUNNING
    assert resolve_database(settings) == RUNNING.database_url
    assert resolve_replica(settings) == DatabaseAddress(RUNNING.database_url)
    assert resolve_direct(settings) == RUNNING.for_sessions
    assert resolve_kafka(settings) == RUNNING.kafka
    assert resolve_sessionize(settings) == RUNNING.sessionize_base_url


def test_the_address_of_sessionize_may_replace_the_stand_in(tmp_path: Path) -> None:
    settings = given(tmp_path, sessionize_base_url=ELSEWHERE)
    assert resolve(settings) == RUNNING._replace(sessionize_base_url=ELSEWHERE)
    assert resolve_sessionize(settings) == ELSEWHERE


def test_with_both_addresses_nothing_is_of_the_running_up(tmp_path: Path) -> None:
    settings = given(tmp_path, database_url=DATABASE, kafka_bootstrap_servers=BROKER)
    assert resolve(settings) == Addresses(DATABASE, KafkaConnection(BROKER), SESSIONIZE_API)
    assert resolve_direct(settings) == DatabaseAddress(DATABASE)
    assert resolve_sessionize(settings) == SESSIONIZE_API


def test_the_database_alone_is_enough_for_commands_that_need_no_broker(tmp_path: Path) -> None:
    settings = given(
        tmp_path,
        database_url=DATABASE,
        direct_database_url=REPLICA,
    )
    assert resolve_database(settings) == DATABASE
    assert resolve_direct(settings) == DatabaseAddress(REPLICA, DIRECT_VARIABLE)
    assert resolve_sessionize(settings) == SESSIONIZE_API


@pytest.mark.parametrize(
    ("settings", "resolver", "missing"),
    [
        ({"database_url": DATABASE}, resolve, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"database_url": DATABASE}, resolve_kafka, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"kafka_bootstrap_servers": BROKER}, resolve, "DATABASE_URL"),
        ({"kafka_bootstrap_servers": BROKER}, resolve_database, "DATABASE_URL"),
        ({"kafka_bootstrap_servers": BROKER}, resolve_replica, "DATABASE_URL"),
        ({"kafka_bootstrap_servers": BROKER}, resolve_direct, "DATABASE_URL"),
        ({"read_database_url": REPLICA}, resolve, "DATABASE_URL"),
        ({"read_database_url": REPLICA}, resolve_kafka, "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_an_address_beside_named_servers_is_never_that_of_the_running_up(
    tmp_path: Path, settings: dict[str, str], resolver: Any, missing: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        resolver(given(tmp_path, **settings))
    (name,) = settings
    assert f"SPREAVIEW_{missing} is not set" in str(caught.value)
    assert f"or unset SPREAVIEW_{name.upper()} to use a local sandbox" in str(caught.value)
