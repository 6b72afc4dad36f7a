"""Each announced real document is imported completely; the unannounced one is refused."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from cli.connections import database
from tests.support.corpus import CORPUS, expected, lay_out, load, needs_corpus, plain_server
from tests.support.processes import Up, environment, request, up
from tests.support.views import imported

pytestmark = needs_corpus

SCHEDULES = {
    "droidkaigi1": ("all-droidkaigi-2018", "2018-02-08", "2018-02-09", "Asia/Tokyo"),
    "orlando2020": ("all-orlandocodecamp-2020", "2020-03-28", "2020-03-28", "America/New_York"),
    "sample2017": ("all-sessionize-sample", "2017-05-27", "2017-05-28", "UTC"),
    "gablinz2022": ("all-gab-linz-2022", "2022-05-06", "2022-05-06", "Europe/Vienna"),
    "mauiday2026": ("all-mauiday-cologne-2026", "2026-10-23", "2026-10-23", "Europe/Berlin"),
    "gablinz2020": ("all-gab-linz-2020-unannounced", "2020-04-24", "2020-04-24", "Europe/Vienna"),
}
UNANNOUNCED = "gablinz2020"


def file_of(api_id: str) -> Path:
    return CORPUS / "schedules" / f"{SCHEDULES[api_id][0]}.json"


@pytest.fixture(scope="module")
def running_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("served")
    lay_out({api_id: file_of(api_id) for api_id in SCHEDULES}, folder)
    with plain_server(folder) as base_url:
        data_dir = tmp_path_factory.mktemp("real")
        with up(environment(data_dir=str(data_dir), sessionize_base_url=base_url)) as running:
            yield running


@pytest.mark.asyncio
@pytest.mark.parametrize("api_id", [key for key in SCHEDULES if key != UNANNOUNCED])
async def test_a_real_schedule_is_imported_completely(running_up: Up, api_id: str) -> None:
    _, first, last, zone = SCHEDULES[api_id]
    event_id = uuid4()
    code, answer = request(
        running_up.environment,
        event_id=event_id,
        organization_id=uuid4(),
        api_id=api_id,
        days=(first, last),
        time_zone=zone,
    )
    assert code == 0, answer
    days = (date.fromisoformat(first), date.fromisoformat(last))
    async with database(running_up.database_url, pool_size=1) as engine:
        shown = await imported(engine, event_id)
    assert shown == expected(load(file_of(api_id)), days, zone)


def test_an_unannounced_schedule_is_refused(running_up: Up) -> None:
    _, first, last, zone = SCHEDULES[UNANNOUNCED]
    code, answer = request(
        running_up.environment,
        event_id=uuid4(),
        organization_id=uuid4(),
        api_id=UNANNOUNCED,
        days=(first, last),
        time_zone=zone,
    )
    assert code == 1
    assert answer["sync_run"]["failure_code"] == "schedule_not_announced"
