"""Transactions that the settings claim are compared with what the broker knows."""

import pytest

from cli import brokers
from cli.brokers import with_known_features
from cli.connections import Addresses
from messaging.connection import KafkaAccessError, KafkaConnection
from messaging.features import BrokerFeatures

pytestmark = pytest.mark.asyncio

HERE = Addresses("postgresql://h/x", KafkaConnection("h:1"), "http://x")


def answering(monkeypatch: pytest.MonkeyPatch, features: BrokerFeatures) -> None:
    async def broker_features(_: KafkaConnection) -> BrokerFeatures:
        return features

    monkeypatch.setattr(brokers, "broker_features", broker_features)


@pytest.mark.parametrize(
    ("cluster", "transactions"), [("spreaview-sandbox-1", False), ("sandbox-1", True), ("x", True)]
)
async def test_only_the_sandbox_is_used_without_transactions(
    monkeypatch: pytest.MonkeyPatch, cluster: str, transactions: bool
) -> None:
    answering(monkeypatch, BrokerFeatures(cluster, knows_transactions=True))
    assert (await with_known_features(HERE)).kafka_transactions is transactions


async def test_a_broker_that_does_not_know_transactions_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, BrokerFeatures("x", knows_transactions=False))
    with pytest.raises(KafkaAccessError) as refused:
        await with_known_features(HERE)
    assert "Kafka at h:1 has no transactions. Check SPREAVIEW_KAFKA_TRANSACTIONS" in str(
        refused.value
    )


async def test_settings_without_transactions_are_not_questioned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, BrokerFeatures("x", knows_transactions=False))
    unchanged = HERE._replace(kafka_transactions=False)
    assert await with_known_features(unchanged) == unchanged
