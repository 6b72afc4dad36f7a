"""Settings from the environment, validated at the start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cli.http_urls import BaseUrl
from cli.secret_files import SecretFileError, SecretFiles
from cli.setting_types import (
    BYTES,
    COUNT,
    DAYS,
    LEAST_BYTES,
    PORT,
    SECONDS,
    HomePath,
    seconds,
    whole,
)
from contracts.topics import DEFAULT_PARTITIONS
from eventstore.connection import DIRECT_VARIABLE, VARIABLE
from eventstore.libpq_url import parse_url
from messaging.connection import (
    KafkaAccessError,
    KafkaConnection,
    SaslMechanism,
    SecurityProtocol,
)

PREFIX = "SPREAVIEW_"
SECRETS = ("database_url", "read_database_url", "direct_database_url", "kafka_sasl_password")
"""Settings that may be given as a file instead, by the same name with `_FILE`."""
SERVERS = ("database_url", "read_database_url", "direct_database_url", "kafka_bootstrap_servers")
"""Settings that name servers of ours: with one of them, a running sandbox does not count."""
SESSIONIZE_API = "https://sessionize.com/api/v2"


class SettingsError(Exception):
    """A setting is wrong or missing; the text names the variable and gives an example."""


class Settings(BaseSettings):
    """The settings of an operator, each from the environment variable `SPREAVIEW_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    database_url: Annotated[
        str | None,
        Field(
            description="PostgreSQL that holds the log and the read models",
            examples=["postgresql://user:password@host:5432/spreaview"],
            repr=False,
        ),
    ] = None
    read_database_url: Annotated[
        str | None,
        Field(
            description="a replica of that PostgreSQL, for queries of `api` and `request --wait`",
            examples=["postgresql://user:password@replica:5432/spreaview"],
            repr=False,
        ),
    ] = None
    direct_database_url: Annotated[
        str | None,
        Field(
            description="that PostgreSQL past its transaction pooler, for locks and notifications",
            examples=["postgresql://user:password@host:5432/spreaview"],
            repr=False,
        ),
    ] = None
    kafka_bootstrap_servers: Annotated[
        str | None,
        Field(description="Kafka brokers, separated by commas", examples=["host:9092"]),
    ] = None
    sessionize_base_url: Annotated[
        BaseUrl | None,
        Field(description="where Sessionize's API is", examples=[SESSIONIZE_API]),
    ] = None
    kafka_security_protocol: Annotated[
        SecurityProtocol,
        Field(
            description="how the brokers' ports are protected: PLAINTEXT, SSL, SASL_PLAINTEXT or "
            "SASL_SSL",
            examples=["SASL_SSL"],
        ),
    ] = SecurityProtocol.PLAINTEXT
    kafka_sasl_mechanism: Annotated[
        SaslMechanism | None,
        Field(
            description="how the password is proven: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            examples=["SCRAM-SHA-512"],
        ),
    ] = None
    kafka_sasl_username: Annotated[
        str | None, Field(description="the user for SASL", examples=["spreaview"])
    ] = None
    kafka_sasl_password: Annotated[
        str | None, Field(description="the user's password", examples=["…"], repr=False)
    ] = None
    kafka_ca_file: Annotated[
        HomePath | None,
        Field(
            description="authorities that may sign the brokers' certificates, as PEM; unset: "
            "those of the system",
            examples=["/etc/spreaview/kafka-ca.pem"],
        ),
    ] = None
    kafka_certificate_file: Annotated[
        HomePath | None,
        Field(
            description="our client certificate, as PEM",
            examples=["/etc/spreaview/kafka.pem"],
        ),
    ] = None
    kafka_key_file: Annotated[
        HomePath | None,
        Field(
            description="the key of that certificate, as PEM without a passphrase",
            examples=["/etc/spreaview/kafka.key"],
        ),
    ] = None
    data_dir: Annotated[
        HomePath,
        Field(description="where the local sandbox keeps its data", examples=[".spreaview"]),
    ] = Path(".spreaview")
    postgres_port: Annotated[
        int | None,
        PORT,
        Field(
            description="port of the PostgreSQL that `up` starts; unset: a free one",
            examples=["5433"],
        ),
    ] = None
    kafka_port: Annotated[
        int | None,
        PORT,
        Field(
            description="port of the Kafka broker that `up` starts; unset: a free one",
            examples=["9092"],
        ),
    ] = None

    kafka_manage_topics: Annotated[
        bool,
        Field(
            description="whether missing topics are created; false: they are only checked",
            examples=["true"],
        ),
    ] = True
    kafka_partitions: Annotated[
        int,
        whole(1, 100_000),
        Field(description="partitions of topics that are created", examples=["12"]),
    ] = DEFAULT_PARTITIONS
    kafka_replication_factor: Annotated[
        int,
        whole(1, 100),
        Field(description="replicas of topics that are created", examples=["3"]),
    ] = 1
    kafka_transactions: Annotated[
        bool,
        Field(
            description="whether the broker has transactions, as Apache Kafka", examples=["true"]
        ),
    ] = True
    kafka_session_seconds: Annotated[
        float,
        seconds(1, 300),
        Field(
            description="after how long a silent process loses its partitions to the others",
            examples=["10"],
        ),
    ] = 10.0
    events_retention_days: Annotated[
        int, DAYS, Field(description="how long Kafka keeps import events", examples=["30"])
    ] = 30
    erasure_retention_days: Annotated[
        int | None,
        DAYS,
        Field(
            description="how long Kafka keeps erasure requests: longer than any backup is kept; "
            "unset: forever",
            examples=["400"],
        ),
    ] = None

    max_document_bytes: Annotated[
        int, LEAST_BYTES, Field(description="largest Sessionize answer", examples=["33554432"])
    ] = 32 * 1024 * 1024
    fetch_seconds: Annotated[
        float, SECONDS, Field(description="time for one fetch, whole", examples=["30"])
    ] = 30.0
    fetch_attempts: Annotated[
        int,
        whole(1, 10),
        Field(description="attempts of a fetch whose failure may be temporary", examples=["3"]),
    ] = 3
    fetch_concurrency: Annotated[
        int, whole(1, 10_000), Field(description="fetches from Sessionize at once", examples=["32"])
    ] = 32

    worker_concurrency: Annotated[
        int,
        whole(1, 10_000),
        Field(description="SpreaView events imported at once", examples=["32"]),
    ] = 32
    worker_in_hand: Annotated[
        int,
        whole(2, 1_000_000),
        Field(description="requests taken from Kafka and not ended", examples=["400"]),
    ] = 400
    worker_in_flight_bytes: Annotated[
        int,
        LEAST_BYTES,
        Field(
            description="bytes of the requests that are taken from Kafka and not ended",
            examples=["33554432"],
        ),
    ] = 32 * 1024 * 1024
    snapshot_events: Annotated[
        int,
        COUNT,
        Field(
            description="events of a SpreaView event from one snapshot of its state to the next",
            examples=["100"],
        ),
    ] = 100
    projector_batch: Annotated[
        int, COUNT, Field(description="records taken from Kafka at once", examples=["5000"])
    ] = 5000
    relay_batch: Annotated[
        int, COUNT, Field(description="events published at once", examples=["1000"])
    ] = 1000
    relay_poll_seconds: Annotated[
        float,
        SECONDS,
        Field(description="longest interval between reads of the log", examples=["1"]),
    ] = 1.0
    seal_seconds: Annotated[
        float, SECONDS, Field(description="time between two seals of the log", examples=["300"])
    ] = 300.0
    source_retention_days: Annotated[
        int | None,
        DAYS,
        Field(description="how long a run's document is kept; unset: forever", examples=["90"]),
    ] = None
    inbox_retention_days: Annotated[
        int | None,
        DAYS,
        Field(
            description="how long `retention` keeps the inbox's entries of ended requests; unset: "
            "forever",
            examples=["90"],
        ),
    ] = None
    dead_letter_retention_days: Annotated[
        int | None,
        DAYS,
        Field(
            description="how long `retention` keeps resolved dead letters; unset: forever",
            examples=["90"],
        ),
    ] = None
    generations_kept: Annotated[
        int | None,
        whole(0, 1_000_000),
        Field(
            description="how many old generations of read models `retention` keeps; unset: all",
            examples=["1"],
        ),
    ] = None
    sweep_seconds: Annotated[
        float,
        SECONDS,
        Field(description="interval between checks for lagging streams", examples=["5"]),
    ] = 5.0
    database_pool: Annotated[
        int,
        whole(2, 10_000),
        Field(description="connections to PostgreSQL per process", examples=["20"]),
    ] = 20
    http_host: Annotated[
        str,
        Field(
            description="where our own HTTP servers listen: an address of IPv4 or IPv6, or a name; "
            "`::` is every address",
            examples=["127.0.0.1"],
        ),
    ] = "127.0.0.1"
    http_port: Annotated[
        int | None,
        PORT,
        Field(
            description="port of `api` and `up`; unset: a free one",
            examples=["8080"],
        ),
    ] = None
    http_cache_bytes: Annotated[
        int,
        BYTES,
        Field(description="memory for encoded answers of `api`", examples=["67108864"]),
    ] = 64 * 1024 * 1024
    feed_bytes: Annotated[
        int,
        BYTES,
        Field(description="memory for the newest events of the feed", examples=["33554432"]),
    ] = 32 * 1024 * 1024
    feed_heartbeat_seconds: Annotated[
        float, SECONDS, Field(description="heartbeat interval of a quiet feed", examples=["15"])
    ] = 15.0
    api_tokens_file: Annotated[
        HomePath | None,
        Field(
            description="the tokens of `api`, made by `spreaview-sync token create`",
            examples=["/etc/spreaview/tokens.json"],
        ),
    ] = None
    api_allowed_origins: Annotated[
        str | None,
        Field(
            description="other sites whose scripts may call `api`, separated by commas",
            examples=["https://spreaview.example"],
        ),
    ] = None
    health_port: Annotated[
        int | None,
        PORT,
        Field(
            description="serves /live, /ready and /metrics if set",
            examples=["8081"],
        ),
    ] = None
    health_period_seconds: Annotated[
        float, SECONDS, Field(description="interval between health checks", examples=["5"])
    ] = 5.0
    stuck_seconds: Annotated[
        float,
        SECONDS,
        Field(
            description="a part is stuck after this long without progress while something waits",
            examples=["180"],
        ),
    ] = 180.0
    metrics_seconds: Annotated[
        float,
        SECONDS,
        Field(description="interval between readings of the gauges of /metrics", examples=["30"]),
    ] = 30.0
    graceful_timeout: Annotated[
        float, SECONDS, Field(description="seconds that a shutdown waits for work", examples=["15"])
    ] = 15.0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Field(description="DEBUG, INFO, WARNING or ERROR", examples=["INFO"]),
    ] = "INFO"
    log_format: Annotated[
        Literal["console", "json"],
        Field(description="console for people, json for machines", examples=["json"]),
    ] = "console"

    @field_validator("database_url", "read_database_url", "direct_database_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None:
            parse_url(value)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _is_a_level(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _is_a_format(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _is_host_and_port(cls, value: str | None) -> str | None:
        for server in (value or "host:1").split(","):
            host, _, port = server.strip().rpartition(":")
            if not (host and port.isdecimal() and 0 < int(port) < 65536):
                raise ValueError("is not a list of host:port")
        return value

    @field_validator("kafka_sasl_mechanism", mode="before")
    @classmethod
    def _is_supported(cls, value: object) -> object:
        if value in ("OAUTHBEARER", "GSSAPI"):
            raise ValueError(
                f"{value} is not supported. Use PLAIN or SCRAM, which managed brokers offer too"
            )
        return value

    @model_validator(mode="after")
    def _has_a_pooler(self) -> Self:
        if self.direct_database_url is not None and self.database_url is None:
            raise ValueError(
                f"{DIRECT_VARIABLE} is set, but {VARIABLE} is not. Set both, or only the latter if "
                "there is no pooler"
            )
        return self

    @model_validator(mode="after")
    def _reaches_kafka(self) -> Self:
        """Refuse a combination that makes no sense, and a file that cannot be used."""
        try:
            self.kafka_connection(self.kafka_bootstrap_servers or "").arguments()
        except KafkaAccessError as error:
            raise ValueError(str(error)) from error
        is_secured = self.kafka_security_protocol is not SecurityProtocol.PLAINTEXT
        if is_secured and self.kafka_bootstrap_servers is None:
            raise ValueError(
                f"{PREFIX}KAFKA_SECURITY_PROTOCOL is {self.kafka_security_protocol}, but "
                f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS is not set. Set it, or unset the protocol: "
                "the local sandbox has none"
            )
        return self

    @property
    def named_servers(self) -> list[str]:
        """The variables that name a database or a broker."""
        return [f"{PREFIX}{name.upper()}" for name in SERVERS if getattr(self, name) is not None]

    def kafka_connection(self, bootstrap_servers: str) -> KafkaConnection:
        """How these brokers are reached. Raises ValueError as `KafkaConnection`."""
        return KafkaConnection(
            bootstrap_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ca_file,
            self.kafka_certificate_file,
            self.kafka_key_file,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the files that it names."""
        return init_settings, env_settings, SecretFiles(settings_cls, PREFIX, SECRETS)


def load_settings() -> Settings:
    """Read the settings. Raises `SettingsError` with the name of every wrong variable."""
    try:
        return Settings()
    except SecretFileError as error:
        raise SettingsError(str(error)) from None
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(e["loc"], e["msg"]) for e in error.errors())) from (
            None  # the values stay out of the message: they may hold secrets
        )


def _explain(location: tuple[int | str, ...], message: str) -> str:
    if not location:  # a combination: the text names its variables
        return message.removeprefix("Value error, ")
    name = str(location[0])
    field = Settings.model_fields.get(name)
    hint = (
        f" ({field.description}; for example {field.examples[0]})"
        if field and field.examples
        else ""
    )
    return f"{PREFIX}{name.upper()}: {message.removeprefix('Value error, ')}{hint}"


def missing(name: str, named_servers: Sequence[str] = ()) -> SettingsError:
    """The error for a missing setting that a command needs.

    `named_servers` are the variables that are set, so that a running sandbox does not count.
    """
    field = Settings.model_fields[name]
    example = field.examples[0] if field.examples else "…"
    variable = f"{PREFIX}{name.upper()}"
    sandbox = "start a local sandbox in another terminal: spreaview-sync up"
    if named_servers:
        sandbox = f"unset {' and '.join(named_servers)} to use a local sandbox: spreaview-sync up"
    return SettingsError(
        f"{variable} is not set ({field.description}). Set it, for example {variable}={example}, "
        f"or {sandbox}"
    )
