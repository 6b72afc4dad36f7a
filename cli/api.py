"""The wiring of the HTTP side: query routes, requests, the feed, and the page."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import anyio
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from audit.http.bodies import PublishError
from audit.http.changes import ChangesOfRuns
from audit.http.erasures import Erasures, erasure_endpoints
from audit.http.page.routes import PageRoutes, page_routes
from audit.http.page.sandbox import Sandbox
from audit.http.requests import SyncRequests, request_endpoints
from audit.http.routes import AuditRoutes, audit_endpoints
from cli.connections import Addresses, plain_connection
from cli.restored_gate import RestoredGate
from cli.settings import PREFIX, Settings, SettingsError
from cli.telemetry.observing import ProcessObserver
from contracts.messages import SpeakerErasureRequested, SyncRequested
from contracts.outage_text import describe_outage
from contracts.topics import SYNC_REQUESTS
from eventstore.checkpoints import Checkpoints
from eventstore.errors import is_database_outage
from eventstore.listening import keep_listening
from eventstore.log import EventLog
from eventstore.restored import unconfirmed_restore
from eventstore.wakeup import CHANNEL as LOG_CHANNEL
from eventstore.wakeup import WakeUp
from messaging.backoff import retry_until_success
from messaging.connection import KafkaConnection
from messaging.errors import is_kafka_outage
from messaging.producer import Producer
from messaging.requests import producing, publish_erasure, publish_request
from projections.http.announcements import Announcements
from projections.http.answering import Answers
from projections.http.application import LOOPBACK, Security, application
from projections.http.documents import document_routes
from projections.http.endpoint import Call
from projections.http.feed.pages import FeedReader
from projections.http.feed.routes import Feed, feed_endpoint
from projections.http.feed.tail import COMPONENT as FEED
from projections.http.feed.tail import LogTail, read_log_id
from projections.http.queries import Queries
from projections.http.query_endpoints import query_endpoints
from projections.http.tokens import Scope, TokenFileError, Tokens
from worker.relay.rewind import read_copies

_PUBLISH_SECONDS = 10.0
_MISMATCH_SECONDS = 5.0


class HttpSide(NamedTuple):
    """The application, and the work that must run with it."""

    app: Starlette
    background: tuple[Coroutine[Any, Any, None], ...]
    stop: Callable[[], None]
    """Ends the open streams and every wait."""
    feed_clients: Callable[[], int]
    """Returns the number of open feeds."""
    feed_fault: Callable[[], str | None]
    """Returns why the feed is stuck; None if it is not."""


def security_of(settings: Settings, *, open_here: bool) -> Security:
    """Who may call. Without a token file everybody may, in the sandbox on loopback only.

    Raises:
        SettingsError: no token file is set where one is needed, or it cannot be used.
    """
    origins = tuple(
        each.strip() for each in (settings.api_allowed_origins or "").split(",") if each
    )
    if settings.api_tokens_file is not None:
        try:
            return Security(Tokens(settings.api_tokens_file), origins)
        except TokenFileError as error:
            raise SettingsError(f"{PREFIX}API_TOKENS_FILE: {error}") from error
    if open_here and settings.http_host in LOOPBACK:
        return Security(None, origins)
    raise SettingsError(
        f"{PREFIX}API_TOKENS_FILE is not set: the HTTP side is open in the sandbox on 127.0.0.1 "
        "only. Remedy: make a file with spreaview-sync token create --file tokens.json "
        f"--name NAME --scope read --scope sync, then set {PREFIX}API_TOKENS_FILE=tokens.json"
    )


async def http_side(
    settings: Settings,
    addresses: Addresses,
    engine: AsyncEngine,
    replica: AsyncEngine,
    security: Security,
    *,
    version: str,
    health: Iterable[BaseRoute] = (),
    sandbox: Sandbox | None = None,
    observer: ProcessObserver | None = None,
) -> HttpSide:
    """Wire the HTTP side. Queries read from `replica`, the log and the feed from `engine`.

    Waits for a database that does not answer.
    """
    log = EventLog(engine)
    connect = partial(plain_connection, addresses.for_sessions)
    announcements = Announcements(connect)
    answers = Answers(replica, announcements, cache_bytes=settings.http_cache_bytes)
    changes = ChangesOfRuns(log)
    wake_up = WakeUp(settings.relay_poll_seconds)

    def forget() -> None:
        answers.forget()
        changes.forget()

    async def started_tail() -> LogTail:
        tail = LogTail(
            engine,
            await read_log_id(engine),
            wake_up.wait,
            max_bytes=settings.feed_bytes,
            on_erasure=forget,
        )
        await tail.start()
        return tail

    tail = await retry_until_success(FEED, started_tail, on=is_database_outage)
    stopping = anyio.Event()
    publisher = RequestPublisher(addresses.kafka, log, observer)
    feed = Feed(
        tail,
        FeedReader(engine, tail),
        Mismatch(engine).reason,
        partial(_is_allowed, security),
        stopping,
        heartbeat_seconds=settings.feed_heartbeat_seconds,
    )
    requests = SyncRequests(answers, log, changes, publisher.publish)
    endpoints = (
        *query_endpoints(Queries(answers)),
        *audit_endpoints(AuditRoutes(answers, log, changes)),
        *request_endpoints(requests),
        *erasure_endpoints(Erasures(answers, engine, publisher.publish)),
        feed_endpoint(feed),
    )
    pages = PageRoutes(answers, log, changes, requests, security, sandbox)
    routes = (
        *health,
        *document_routes(endpoints, pages.renderer, version=version),
        *page_routes(pages),
    )
    background = (
        announcements.listen(),
        tail.follow(),
        keep_listening(connect, LOG_CHANNEL, lambda _: wake_up.hint(), wake_up.hint),
        publisher.run(),
    )
    gate = Middleware(RestoredGate, reason=partial(unconfirmed_restore, engine))
    app = application(endpoints, routes, security, gates=[gate])

    def stop() -> None:
        stopping.set()
        announcements.end()
        tail.wake_everybody()

    return HttpSide(app, background, stop, lambda: tail.clients, lambda: tail.fault)


class RequestPublisher:
    """Publishes requests with one producer. It connects as soon as Kafka answers."""

    def __init__(
        self, kafka: KafkaConnection, log: EventLog, observer: ProcessObserver | None = None
    ) -> None:
        self._kafka = kafka
        self._log = log
        self._sending = nullcontext if observer is None else observer.sending
        self._producer: Producer | None = None
        self._reason = "Kafka has not answered yet"
        """Why there is no producer."""

    async def run(self) -> None:
        """Connect, and keep the producer until cancelled."""

        async def work() -> None:
            try:
                async with producing(self._kafka, self._log.clock) as producer:
                    self._producer = producer
                    await asyncio.Event().wait()
            except Exception as error:
                self._reason = describe_outage(error)
                raise
            finally:
                self._producer = None

        await retry_until_success("Kafka", work, on=is_kafka_outage)

    async def publish(self, message: SyncRequested | SpeakerErasureRequested) -> None:
        """Publish one request. Raises `PublishError` unless Kafka confirms it within 10 seconds."""
        producer = self._producer
        if producer is None:
            raise PublishError(f"Nothing was requested: {self._reason}. Try again later")
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                if isinstance(message, SyncRequested):
                    with self._sending(SYNC_REQUESTS) as traceparent:
                        await publish_request(producer, message, traceparent=traceparent)
                else:
                    await publish_erasure(producer, message)
        except (KafkaError, TimeoutError) as error:
            raise PublishError(
                f"Kafka did not confirm the request: {describe_outage(error)}. Send it again with "
                f"request_id {message.request_id}: it is done once"
            ) from error


class Mismatch:
    """Notices that published events are not in the log, as after a restore."""

    def __init__(self, engine: AsyncEngine, *, look_seconds: float = _MISMATCH_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._look = partial(read_copies, EventLog(engine), Checkpoints(engine), None)
        self._next_look = 0.0
        self._reason: str | None = None

    async def reason(self) -> str | None:
        """Return why the log must not be served; the answer is at most `look_seconds` old."""
        if time.monotonic() >= self._next_look:
            mismatch = (await self._look()).mismatch
            self._reason = None if mismatch is None else str(mismatch)
            self._next_look = time.monotonic() + self._look_seconds
        return self._reason


def _is_allowed(security: Security, call: Call) -> bool:
    """Whether the caller may still read, and of the same organizations: a stream selects once."""
    access = security.access(call.request)
    if access is None or Scope.READ not in access.scopes:
        return False
    return access.organizations == call.access.organizations


@asynccontextmanager
async def ending_streams(side: HttpSide) -> AsyncIterator[None]:
    """End open streams and waits when the block ends, so that the server stops without delay."""
    try:
        yield
    finally:
        side.stop()
