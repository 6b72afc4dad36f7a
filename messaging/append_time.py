"""Topics whose records are stamped by the broker's clock (LogAppendTime).

With the publisher's time stamps (CreateTime), Apache Kafka refuses the records of every process
whose clock is more than an hour ahead. So no topic of ours depends on the clock of a process.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from messaging.connection import KafkaConnection, SecurityProtocol

logger = logging.getLogger(__name__)

_NAME, _VALUE = "message.timestamp.type", "LogAppendTime"
LOG_APPEND_TIME = {_NAME: _VALUE}
"""The configuration of a topic whose records are stamped by the broker's clock."""

_SET = 0


async def use_append_time(
    kafka: KafkaConnection, admin: AIOKafkaAdminClient, topics: Iterable[str]
) -> None:
    """Have the broker stamp the records of existing topics; no other setting of them changes.

    Records that are on a topic already keep their time stamps. A refusal is logged as a warning
    with the command for somebody with the right to run it; nothing is raised for it, since such a
    topic works as long as all clocks are right.
    """
    for topic in topics:
        try:
            await _use_append_time(admin, topic)
        except IncompatibleBrokerVersion:
            logger.debug("%s: this broker cannot change the settings of a topic", topic)
        except KafkaError as error:
            logger.warning(
                "%s: could not be set to %s=%s: %s. Until it is, Kafka refuses the records of a "
                "process whose clock is wrong by an hour. With the right to alter the topic, run: "
                "%s",
                *(topic, _NAME, _VALUE, error, append_time_command(kafka, topic)),
            )


def append_time_command(kafka: KafkaConnection, topic: str) -> str:
    """The command that has the broker stamp the records of a topic."""
    return alter_command(kafka, topic, f"{_NAME}={_VALUE}")


def alter_command(kafka: KafkaConnection, topic: str, config: str) -> str:
    """The command that gives a topic a setting, as `name=value`."""
    secured = "" if kafka.protocol is SecurityProtocol.PLAINTEXT else " --command-config FILE"
    return (
        f"kafka-configs.sh --bootstrap-server {kafka}{secured} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {config}"
    )


async def _use_append_time(admin: AIOKafkaAdminClient, topic: str) -> None:
    # All settings are asked for: the sandbox's broker cannot be asked for one of them.
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, None)])
    (described,) = answers[0].resources
    code, message, _, _, entries = described
    _raise(code, message)
    if any((name, value) == (_NAME, _VALUE) for name, value, *_ in entries):
        return
    node = admin._client.get_random_node()  # noqa: SLF001 (it has no way to send other requests)
    answer = await admin._client.send(node, _SetConfigs(topic, LOG_APPEND_TIME))  # noqa: SLF001
    for code, message, *_ in answer.responses:
        _raise(code, message)
    logger.info("topic %s: set to %s=%s", topic, _NAME, _VALUE)


def _raise(code: int, message: str | None) -> None:
    if code != 0:
        raise for_code(code)(message or "")


class _SetConfigsResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY: ClassVar = 44
    API_VERSION: ClassVar = 0
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _SetConfigsRequest(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY: ClassVar = 44
    API_VERSION: ClassVar = 0
    RESPONSE_TYPE: ClassVar = _SetConfigsResponse
    SCHEMA: ClassVar = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _SetConfigs(Request[_SetConfigsRequest]):  # type: ignore[misc]  # aiokafka is untyped
    """Kafka's IncrementalAlterConfigs, which aiokafka lacks.

    Its AlterConfigs resets all settings of a topic that it is not given.
    """

    API_KEY: ClassVar = 44

    def __init__(self, topic: str, configs: dict[str, str]) -> None:
        self._topic = topic
        self._configs: Sequence[tuple[str, int, str]] = [(n, _SET, v) for n, v in configs.items()]

    def build(self, request_struct_class: type[_SetConfigsRequest]) -> Any:
        resource = (int(ConfigResourceType.TOPIC), self._topic, self._configs)
        return request_struct_class([resource], False)
