"""Each way in which Sessionize can fail to give a schedule is reported with its own cause."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.acceptance.refused_answers import HANGING, REFUSED, Case
from tests.support.documents import document
from tests.support.first_import import (
    API_ID,
    GOOD,
    ONE_SECOND,
    SLACK_SECONDS,
    assert_failed,
    encoded,
    headed,
    import_from,
    schedule,
)
from tests.support.sessionize.answers import Documents, page
from tests.support.sessionize.double import Double, sessionize_double

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_a_refused_answer_is_reported_with_its_cause(double: Double, case: Case) -> None:
    double.documents.put(API_ID, case.answer)

    run = await import_from(double.base_url)

    assert_failed(run.failed, case.code, case.status, double.base_url)
    assert case.message in run.failed.message
    assert run.seconds < SLACK_SECONDS
    assert len(double.requests) == 1


async def test_utf_16_is_reported_as_not_json_at_any_size(double: Double) -> None:
    double.serve(API_ID, json.dumps(document()).encode("utf-16"))

    assert (await import_from(double.base_url)).failed.code == "endpoint_not_json"


@pytest.mark.parametrize("status", [408, 501, 507, 520, 522, 530])
async def test_other_errors_of_the_server_are_retryable(double: Double, status: int) -> None:
    double.documents.put(API_ID, page(status, "Trouble"))

    failed = (await import_from(double.base_url)).failed

    assert_failed(failed, "upstream_unavailable", status, double.base_url)


@pytest.mark.parametrize("case", HANGING, ids=lambda case: case.name)
async def test_an_endless_answer_is_given_up_at_the_time_limit(double: Double, case: Case) -> None:
    double.documents.put(API_ID, case.answer)

    run = await import_from(double.base_url, ONE_SECOND)

    assert_failed(run.failed, case.code, case.status, double.base_url)
    assert case.message in run.failed.message
    assert 1.0 <= run.seconds < 1.0 + SLACK_SECONDS
    assert len(double.requests) == 1


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections and that no other process can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.mark.parametrize("cause", ["refused", "no such host", "no TLS"])
async def test_a_server_that_cannot_be_reached_is_unavailable(
    double: Double, closed_port: int, cause: str
) -> None:
    base_url = {
        "refused": f"http://127.0.0.1:{closed_port}",
        "no such host": "http://no-such-host.invalid",
        "no TLS": double.base_url.replace("http://", "https://"),
    }[cause]
    double.documents.put(API_ID, schedule(GOOD))

    run = await import_from(base_url, ONE_SECOND)

    assert_failed(run.failed, "upstream_unavailable", None, base_url)
    assert "no-such-host" not in run.failed.message
    assert run.seconds < 1.0 + SLACK_SECONDS
    assert not double.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_its_host_is_not_contacted(
    double: Double, status: int
) -> None:
    async with sessionize_double(Documents({API_ID: encoded(GOOD)})) as other:
        elsewhere = other.base_url.replace("127.0.0.1", "localhost")
        double.documents.put(API_ID, headed(status, Location=f"{elsewhere}/{API_ID}/view/All"))

        run = await import_from(double.base_url)

        assert_failed(run.failed, "endpoint_rejected", status, elsewhere)
        assert (len(double.requests), other.connections) == (1, 0)
