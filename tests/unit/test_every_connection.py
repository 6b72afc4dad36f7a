"""Every client of a server is made where its security is known: a new one cannot forget it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "audit", "worker", "projections", "eventstore", "messaging")
KAFKA = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "Producer", "KafkaBroker"}


def calls(names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Every call of one of these names in the product, but for the sandbox's own servers."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            place = file.relative_to(ROOT)
            if place.parts[:2] == ("cli", "sandbox"):
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                    yield f"{place}:{node.lineno}", node


def test_every_client_of_kafka_takes_the_arguments_of_the_connection() -> None:
    found = list(calls(KAFKA))
    assert len(found) >= len(KAFKA)
    for place, call in found:
        spread = [ast.unparse(k.value) for k in call.keywords if k.arg is None]
        security = [ast.unparse(k.value) for k in call.keywords if k.arg == "security"]
        assert any(given.endswith(".arguments()") for given in spread) or any(
            given.endswith(".for_faststream()") for given in security
        ), f"{place} does not say how the broker is reached"


@pytest.mark.parametrize("name", ["asyncpg.connect", "asyncpg.create_pool"])
def test_every_connection_to_postgresql_is_opened_in_one_place(name: str) -> None:
    places = {place.partition(":")[0] for place, _ in calls({name})}
    assert places <= {"eventstore/connection.py"}
