"""Every answer told apart: what Sessionize may say over real HTTP, and what the run comes to."""

import asyncio
import gzip
import json
import logging
import resource
import socket
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from cli.connections import http_client
from cli.sandbox.answers import HTML
from contracts.codec import JsonObject
from contracts.events import ImportEvent, SessionImported, SyncCompleted, SyncFailed
from tests.support.documents import BROKEN, WINDOW, document, room, speaker, talk, unscheduled
from tests.support.line import VIEWS, Line, a_request, the_line
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending, page
from tests.support.sessionize.double import Double, sessionize_double
from worker.rules.command import check_request
from worker.rules.state import State
from worker.source.sessionize import FetchLimits, Sessionize
from worker.sync.run import decide_run

logger = logging.getLogger(__name__)

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
API_ID = "s3cretid42"
LIMITS = FetchLimits(
    max_bytes=1024 * 1024, attempt_seconds=20, attempts=1, longest_wait_seconds=2.5
)
TWICE = LIMITS._replace(attempts=2)
IMPATIENT = LIMITS._replace(attempt_seconds=1.0)
SLACK_SECONDS = 5.0
"""Beyond what the limits allow: the machine may be busy."""
MIB = 1024 * 1024
GOOD = document(talk("1"), talk("2", "2026-05-28T11:00:00"))
NEVER = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest_asyncio.fixture
async def double() -> AsyncIterator[Double]:
    async with sessionize_double(Documents()) as double:
        yield double


def encoded(source: JsonObject) -> bytes:
    return json.dumps(source, ensure_ascii=False).encode()


def schedule(source: JsonObject, **how: Any) -> Answer:
    return Answer(encoded(source), **how)


def headed(status: int, **headers: str) -> Answer:
    """A page with headers: `Retry_After` is `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return page(status, "Trouble")._replace(headers=named)


class Run(NamedTuple):
    """What a run came to."""

    outcome: Sequence[ImportEvent]
    seconds: float

    @property
    def failed(self) -> SyncFailed:
        (event,) = self.outcome
        assert isinstance(event, SyncFailed), event
        return event

    @property
    def completed(self) -> SyncCompleted:
        event = self.outcome[-1]
        assert isinstance(event, SyncCompleted), event
        return event


async def judged(base_url: str, limits: FetchLimits = LIMITS) -> Run:
    """What a first import comes to."""
    async with http_client("1.2.3") as client:
        return await judged_by(Sessionize(client, base_url, limits, lambda: NOW))


async def judged_by(sessionize: Sessionize) -> Run:
    began = time.monotonic()
    judgement = await decide_run(
        sessionize,
        State(),
        check_request(a_request(API_ID, WINDOW), b"k" * 32),
        ordered_at=NOW,
        began=began,
        received=began,
    )
    return Run(judgement.events, time.monotonic() - began)


def assert_told_apart(
    failed: SyncFailed, code: str, status: int | None, *, retryable: bool, base_url: str
) -> None:
    assert (failed.code, failed.http_status, failed.retryable) == (code, status, retryable)
    for said in (failed.message, failed.remedy):
        assert len(said) > 20
        assert said.endswith(".")
        for secret in (API_ID, base_url, "http://", "https://", "127.0.0.1", "Traceback"):
            assert secret not in said


# What is answered at once and is no schedule that could be imported.

NO_JSON = ("endpoint_not_json", 200, False)
NO_SCHEDULE = ("unexpected_document", 200, True)
CUT_OFF = ("upstream_unavailable", None, True)
DEEP = 100_000

ANSWERED: dict[str, tuple[Answer, tuple[str, int | None, bool]]] = {
    # As DOMAIN.md lists them.
    "not announced": (
        schedule(document(unscheduled("1"), unscheduled("2"))),
        ("schedule_not_announced", None, False),
    ),
    "HTML": (page(200, "Schedule"), NO_JSON),
    "HTML that says it is JSON": (Answer(page(200, "Schedule").body), NO_JSON),
    "JavaScript": (Answer(b"document.write('<div>')", content_type="text/javascript"), NO_JSON),
    "a view that is not exposed": (page(400, "Bad request"), ("endpoint_rejected", 400, False)),
    "a wrong ID": (page(404, "Not found"), ("api_id_not_found", 404, False)),
    "a deleted ID": (page(410, "Gone"), ("api_id_not_found", 410, False)),
    "429 for long": (headed(429, Retry_After="3600"), ("upstream_unavailable", 429, True)),
    "429 until a far date": (
        headed(429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"),
        ("upstream_unavailable", 429, True),
    ),
    "304 to what was not asked": (Answer(b"", 304), ("endpoint_rejected", 304, False)),
    # Not a schedule.
    "nothing": (Answer(b""), NO_JSON),
    "an empty object": (Answer(b"{}"), NO_SCHEDULE),
    "no sessions key": (Answer(b'{"speakers": [], "rooms": []}'), NO_SCHEDULE),
    "null sessions": (Answer(b'{"sessions": null, "speakers": [], "rooms": []}'), NO_SCHEDULE),
    "no session": (schedule(document()), ("schedule_empty", None, False)),
    "an array": (Answer(b"[]"), NO_SCHEDULE),
    "a string": (Answer(b'"schedule"'), NO_SCHEDULE),
    "a number": (Answer(b"2026"), NO_SCHEDULE),
    "null": (Answer(b"null"), NO_SCHEDULE),
    "truncated JSON": (Answer(encoded(GOOD)[:-40]), NO_SCHEDULE),
    "only broken sessions": (schedule(document(talk("1") | BROKEN)), NO_SCHEDULE),
    "UTF-16": (Answer(json.dumps(GOOD).encode("utf-16")), NO_JSON),
    "UTF-16 without a mark": (Answer(json.dumps(GOOD).encode("utf-16-le")), NO_SCHEDULE),
    "deep arrays": (Answer(b"[" * DEEP), NO_SCHEDULE),
    "deep objects": (Answer(b'{"a":' * DEEP), NO_SCHEDULE),
    "deep sessions": (Answer(b'{"sessions":' + b"[" * DEEP), NO_SCHEDULE),
    "deep, beside half an emoji": (
        Answer(b'{"title": "\\ud83d", "sessions": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
        NO_SCHEDULE,
    ),
    "too large": (Answer(b" " * (LIMITS.max_bytes + 1)), ("response_too_large", None, False)),
    # The way of it.
    "no gzip that says it is": (schedule(GOOD, headers={"Content-Encoding": "gzip"}), NO_SCHEDULE),
    "half a gzip": (
        Answer(gzip.compress(encoded(GOOD))[:200], headers={"Content-Encoding": "gzip"}),
        NO_SCHEDULE,
    ),
    "a length too small": (schedule(GOOD, delivery=Delivery(content_length=100)), NO_SCHEDULE),
    "a length too great": (schedule(GOOD, delivery=Delivery(content_length=10**6)), CUT_OFF),
    "cut in the middle": (schedule(GOOD, delivery=Delivery(body_bytes=100)), CUT_OFF),
    "reset in the middle": (
        schedule(GOOD, delivery=Delivery(body_bytes=100, ending=Ending.RESET)),
        CUT_OFF,
    ),
    "closed without a word": (
        NEVER._replace(delivery=NEVER.delivery._replace(ending=Ending.CLOSE)),
        CUT_OFF,
    ),
    "a head without end": (schedule(GOOD, headers={"X-Long": "x" * 200_000}), CUT_OFF),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("answer", "told"), ANSWERED.values(), ids=ANSWERED.keys())
async def test_what_is_no_schedule_is_told_apart(
    double: Double, answer: Answer, told: tuple[str, int | None, bool]
) -> None:
    double.documents.put(API_ID, answer)

    run = await judged(double.base_url)

    code, status, retryable = told
    assert_told_apart(run.failed, code, status, retryable=retryable, base_url=double.base_url)
    assert run.seconds < SLACK_SECONDS
    assert len(double.requests) == 1


@pytest.mark.asyncio
async def test_utf_16_is_the_same_whatever_its_size(double: Double) -> None:
    double.serve(API_ID, json.dumps(document()).encode("utf-16"))

    assert (await judged(double.base_url)).failed.code == "endpoint_not_json"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [408, 501, 507, 520, 522, 530])
async def test_other_troubles_of_the_server_may_pass(double: Double, status: int) -> None:
    double.documents.put(API_ID, page(status, "Trouble"))

    failed = (await judged(double.base_url)).failed

    assert_told_apart(
        failed, "upstream_unavailable", status, retryable=True, base_url=double.base_url
    )


# What never comes to an end by itself.

HANGING = {
    "never answered": NEVER,
    "only the head": schedule(GOOD, delivery=Delivery(body_bytes=0, ending=Ending.HANG)),
    "half the body": schedule(GOOD, delivery=Delivery(body_bytes=100, ending=Ending.HANG)),
    "a trickle": schedule(GOOD, delivery=Delivery(piece_bytes=1, pause_seconds=0.05)),
    "a late head": schedule(GOOD, delivery=Delivery(head_after_seconds=600)),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", HANGING.values(), ids=HANGING.keys())
async def test_an_answer_without_end_is_given_up_in_time(double: Double, answer: Answer) -> None:
    double.documents.put(API_ID, answer)

    run = await judged(double.base_url, IMPATIENT)

    assert_told_apart(
        run.failed, "upstream_unavailable", None, retryable=True, base_url=double.base_url
    )
    assert "within 1 seconds" in run.failed.message
    assert 1.0 <= run.seconds < 1.0 + SLACK_SECONDS
    assert len(double.requests) == 1


# What stands in the way of any answer.


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody else can take and that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", ["refused", "no such host", "no TLS"])
async def test_a_server_that_cannot_be_reached_is_unavailable(
    double: Double, closed_port: int, trouble: str
) -> None:
    base_url = {
        "refused": f"http://127.0.0.1:{closed_port}",
        "no such host": "http://no-such-host.invalid",
        "no TLS": double.base_url.replace("http://", "https://"),
    }[trouble]
    double.documents.put(API_ID, schedule(GOOD))

    run = await judged(base_url, IMPATIENT)

    assert_told_apart(run.failed, "upstream_unavailable", None, retryable=True, base_url=base_url)
    assert "no-such-host" not in run.failed.message
    assert run.seconds < 1.0 + SLACK_SECONDS
    assert not double.requests


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_its_host_never_contacted(
    double: Double, status: int
) -> None:
    async with sessionize_double(Documents({API_ID: encoded(GOOD)})) as other:
        elsewhere = other.base_url.replace("127.0.0.1", "localhost")
        double.documents.put(API_ID, headed(status, Location=f"{elsewhere}/{API_ID}/view/All"))

        run = await judged(double.base_url)

        assert_told_apart(
            run.failed, "endpoint_rejected", status, retryable=False, base_url=elsewhere
        )
        assert (len(double.requests), other.connections) == (1, 0)


# What passes, and what does not.


@pytest.mark.asyncio
async def test_a_trouble_that_passes_is_not_seen(double: Double) -> None:
    double.documents.put(API_ID, page(503, "Busy"), schedule(GOOD))

    run = await judged(double.base_url, TWICE)

    assert imported(run) == ["1", "2"]
    assert len(double.requests) == 2


@pytest.mark.asyncio
async def test_a_connection_that_breaks_off_once_is_not_seen(double: Double) -> None:
    double.documents.put(API_ID, ANSWERED["cut in the middle"][0], schedule(GOOD))

    assert imported(await judged(double.base_url, TWICE)) == ["1", "2"]


@pytest.mark.asyncio
async def test_a_trouble_that_stays_ends_the_run_after_the_last_attempt(double: Double) -> None:
    double.documents.put(API_ID, page(503, "Busy"))

    run = await judged(double.base_url, TWICE)

    assert_told_apart(
        run.failed, "upstream_unavailable", 503, retryable=True, base_url=double.base_url
    )
    assert len(double.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("when", ["2", format_datetime(NOW + timedelta(seconds=2), usegmt=True)])
async def test_a_retry_after_is_waited_for(double: Double, when: str) -> None:
    double.documents.put(API_ID, headed(429, Retry_After=when), schedule(GOOD))

    run = await judged(double.base_url, TWICE)

    assert imported(run) == ["1", "2"]
    assert 2.0 <= run.seconds < 2.0 + SLACK_SECONDS
    assert len(double.requests) == 2


@pytest.mark.asyncio
async def test_a_wrong_length_does_no_harm_to_the_next_answer(double: Double) -> None:
    double.documents.put(API_ID, ANSWERED["a length too small"][0], schedule(GOOD))

    async with http_client("1.2.3") as client:
        sessionize = Sessionize(client, double.base_url, TWICE, lambda: NOW)
        assert (await judged_by(sessionize)).failed.code == "unexpected_document"
        assert imported(await judged_by(sessionize)) == ["1", "2"]


@pytest.mark.asyncio
async def test_an_unchanged_schedule_is_asked_for_with_its_validators(double: Double) -> None:
    double.documents.put(
        API_ID, schedule(GOOD, headers={"ETag": '"v1"'}), Answer(b"", 304, headers={"ETag": '"v1"'})
    )

    async with http_client("1.2.3") as client:
        sessionize = Sessionize(client, double.base_url, LIMITS, lambda: NOW)
        first, second = await judged_by(sessionize), await judged_by(sessionize)

    assert imported(first) == imported(second) == ["1", "2"]
    assert first.completed.source.digest == second.completed.source.digest
    assert double.requests[-1].headers["if-none-match"] == '"v1"'


# What is imported all the same.

LATE = "2026-05-28T11:00:00"
IMPORTED: dict[str, tuple[Answer, list[str], list[str]]] = {
    "only some scheduled": (schedule(document(talk("1"), unscheduled("2"))), ["1"], []),
    "a mark at the beginning": (Answer(b"\xef\xbb\xbf" + encoded(GOOD)), ["1", "2"], []),
    "JSON that says it is HTML": (schedule(GOOD, content_type=HTML), ["1", "2"], []),
    "a late head, in pieces": (
        schedule(
            GOOD, delivery=Delivery(head_after_seconds=0.2, piece_bytes=99, pause_seconds=0.01)
        ),
        ["1", "2"],
        [],
    ),
    "a duplicate id": (
        schedule(document(talk("1"), talk("1", LATE))),
        ["1"],
        ["duplicate_session"],
    ),
    "a room that is not there": (
        schedule(document(talk("1", room=8), talk("2"), rooms=[room(7)])),
        ["2"],
        ["unknown_room"],
    ),
    "a speaker who is not there": (
        schedule(document(talk("1", speakers=["bob"]), talk("2", LATE), speakers=[speaker("ada")])),
        ["1", "2"],
        ["unknown_speaker"],
    ),
    "end before start": (
        schedule(document(talk("1", LATE, "2026-05-28T10:00:00"))),
        ["1"],
        ["session_ends_before_it_starts"],
    ),
    "a broken one among good ones": (
        schedule(document(talk("1") | BROKEN, talk("2"), talk("3", LATE))),
        ["2", "3"],
        ["invalid_session"],
    ),
    "Latin-1": (
        Answer(
            encoded(document(talk("1", title="Café"), talk("2", LATE))).decode().encode("latin-1")
        ),
        ["2"],
        ["invalid_session"],
    ),
    "nothing in the window": (
        schedule(document(talk("1", "2025-05-28T09:00:00"))),
        [],
        ["no_session_in_window"],
    ),
}


def imported(run: Run) -> list[str]:
    assert isinstance(run.outcome[-1], SyncCompleted), run.outcome
    return [e.sessionize_id for e in run.outcome if isinstance(e, SessionImported)]


@pytest.mark.asyncio
@pytest.mark.parametrize(("answer", "sessions", "warnings"), IMPORTED.values(), ids=IMPORTED.keys())
async def test_what_is_a_schedule_is_imported(
    double: Double, answer: Answer, sessions: list[str], warnings: list[str]
) -> None:
    double.documents.put(API_ID, answer)

    run = await judged(double.base_url)

    assert imported(run) == sessions
    assert [warning.code for warning in run.completed.warnings] == warnings
    assert run.seconds < SLACK_SECONDS


# What is large: judged by a process of its own, whose memory is measured.

MOST_MIB_MORE = 300
MOST_SECONDS = 30.0


def bomb(mebibytes: int) -> Answer:
    """Spaces as a thousandth of gzip; its end is left out, nobody should get there."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return Answer(first + again * (mebibytes - 1), headers={"Content-Encoding": "gzip"})


def bomb_in_a_bomb() -> Answer:
    return Answer(gzip.compress(bomb(512).body), headers={"Content-Encoding": "gzip, gzip"})


def a_million() -> bytes:
    return b"[" + b",".join([b"{}"] * 1_000_000) + b"]"


SPACES = Answer(b" " * 1_000_000, delivery=Delivery(times=500))
REFUSED = {"unexpected_document", "response_too_large"}
LARGE: dict[str, tuple[Callable[[], Answer], set[str]]] = {
    "500 MB of spaces": (lambda: SPACES, {"response_too_large"}),
    "a gzip bomb": (lambda: bomb(1024), {"response_too_large"}),
    "a million in the root": (lambda: Answer(a_million()), {"unexpected_document"}),
    "a million sessions": (
        lambda: Answer(b'{"sessions":' + a_million() + b',"speakers":[],"rooms":[]}'),
        REFUSED,
    ),
    "a bomb in a bomb": (bomb_in_a_bomb, REFUSED),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("make", "codes"), LARGE.values(), ids=LARGE)
async def test_a_large_answer_costs_little(
    double: Double, make: Callable[[], Answer], codes: set[str]
) -> None:
    double.documents.put(API_ID, make())

    measured = await judged_apart(double.base_url)

    logger.info("measured: %s", measured)
    assert measured["code"] in codes
    assert measured["seconds"] < MOST_SECONDS
    assert measured["mib_more"] < MOST_MIB_MORE


async def judged_apart(base_url: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.test_answers", base_url),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * MOST_SECONDS):
            told, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0
    measured: dict[str, Any] = json.loads(told)
    return measured


def peak_mib() -> float:
    """The most memory that this process has had.

    On Linux the number that `getrusage` gives includes what the parent had when it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MIB if sys.platform == "darwin" else most / 1024


def measure(base_url: str) -> None:
    """Judge under the limits as they stand, in a process of its own, and write what it took."""
    before = peak_mib()
    run = asyncio.run(judged(base_url, FetchLimits(attempts=1)))
    told = {"code": run.failed.code, "seconds": run.seconds, "mib_more": peak_mib() - before}
    sys.stdout.write(json.dumps(told))


# The whole line: none of it touches what was imported.

HARMLESS = {
    "HTML": (page(200, "Schedule"), "endpoint_not_json"),
    "a wrong ID": (page(404, "Not found"), "api_id_not_found"),
    "truncated JSON": (Answer(encoded(GOOD)[:-40]), "unexpected_document"),
    "no session": (schedule(document()), "schedule_empty"),
    "not announced": (schedule(document(unscheduled("1"))), "schedule_not_announced"),
    "429 for long": (headed(429, Retry_After="3600"), "upstream_unavailable"),
    "cut in the middle": (
        schedule(GOOD, delivery=Delivery(body_bytes=100)),
        "upstream_unavailable",
    ),
    "500 MB of spaces": (SPACES, "response_too_large"),
}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as line:
        yield line


async def every_row(line: Line) -> dict[str, list[str]]:
    """Every row of every view but those that say that runs took place."""
    async with line.engine.connect() as connection:
        found = {
            view: await connection.execute(text(f"SELECT v.* FROM spreaview.{view} v"))
            for view in VIEWS
            if view not in ("sync_runs", "stream_progress")
        }
        return {view: sorted(map(str, rows)) for view, rows in found.items()}


@pytest.mark.asyncio
async def test_no_failure_touches_what_was_imported(line: Line) -> None:
    event_id = uuid4()
    good = document(talk("1"), talk("2", LATE), unscheduled("3"))
    line.double.documents.put(API_ID, schedule(good))
    assert (await line.sync(a_request(API_ID, WINDOW, event_id=event_id)))["status"] == "completed"
    rows = await every_row(line)
    assert all(rows.values())
    runs = await line.rows("sync_runs", event_id)

    for name, (answer, code) in HARMLESS.items():
        line.double.documents.put(API_ID, answer)
        run = await line.sync(a_request(API_ID, WINDOW, event_id=event_id))
        assert (run["status"], run["failure_code"]) == ("failed", code), name
        assert (await line.types(event_id))[-2:] == ["SyncStarted", "SyncFailed"]
        assert await every_row(line) == rows, name
        after = await line.rows("sync_runs", event_id)
        (own,) = [row for row in after if row not in runs]
        assert str(own["sync_id"]) == str(run["sync_id"])
        assert len(after) == len(runs) + 1
        runs = after


if __name__ == "__main__":
    measure(sys.argv[1])
