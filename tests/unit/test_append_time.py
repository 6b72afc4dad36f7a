"""Topics that this program may not alter: the start continues and logs the command."""

import logging
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import DescribeConfigsResponse_v2

from messaging.append_time import _SetConfigsResponse, use_append_time
from messaging.connection import KafkaConnection, SaslMechanism, SecurityProtocol

pytestmark = pytest.mark.asyncio

NOT_ALLOWED = 29
PLAIN = KafkaConnection("kafka:9092")
SECURED = KafkaConnection(
    "kafka:9093", SecurityProtocol.SASL_SSL, SaslMechanism.PLAIN, "worker", "secret"
)


class Admin:
    """An admin client of a cluster with the permissions of the test."""

    def __init__(self, *, describe: int = 0, alter: int = 0, is_away: bool = False) -> None:
        self._describe, self._alter, self._is_away = describe, alter, is_away
        self._client = self
        self.altered: list[str] = []

    async def describe_configs(self, resources: list[Any]) -> list[DescribeConfigsResponse_v2]:
        entries: list[Any] = [("message.timestamp.type", "CreateTime", False, 5, False, [])]
        answer = (self._describe, "", 2, resources[0].name, [] if self._describe else entries)
        return [DescribeConfigsResponse_v2(0, [answer])]

    def get_random_node(self) -> int:
        return 0

    async def send(self, _: int, request: Any) -> _SetConfigsResponse:
        if self._is_away:
            raise KafkaConnectionError("gone")
        if self._alter == 0:
            self.altered.append(request._topic)
        return _SetConfigsResponse(0, [(self._alter, "", 2, request._topic)])


async def warnings(
    admin: Any, caplog: pytest.LogCaptureFixture, kafka: KafkaConnection = PLAIN
) -> list[str]:
    client: AIOKafkaAdminClient = admin
    await use_append_time(kafka, client, ["one", "two"])
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize("right", ["describe", "alter"])
async def test_without_the_right_the_exact_command_is_logged_for_each_topic(
    caplog: pytest.LogCaptureFixture, right: str
) -> None:
    admin = Admin(describe=NOT_ALLOWED) if right == "describe" else Admin(alter=NOT_ALLOWED)
    found = await warnings(admin, caplog)
    assert len(found) == 2
    for topic, text in zip(("one", "two"), found, strict=True):
        assert "TopicAuthorizationFailedError" in text
        assert text.endswith(
            "kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics "
            f"--entity-name {topic} --add-config message.timestamp.type=LogAppendTime"
        )


async def test_the_command_for_a_secured_broker_names_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text, _ = await warnings(Admin(alter=NOT_ALLOWED), caplog, SECURED)
    assert "--bootstrap-server kafka:9093 --command-config FILE --alter" in text
    assert "secret" not in text


async def test_a_broker_that_goes_away_meanwhile_does_not_stop_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert len(await warnings(Admin(is_away=True), caplog)) == 2


async def test_with_the_right_nothing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    admin = Admin()
    assert await warnings(admin, caplog) == []
    assert admin.altered == ["one", "two"]
