"""The HTTP side with the rights of its role."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from tests.support.documents import WINDOW
from tests.support.http_side import the_http_side
from tests.support.line import ORGANIZATION, a_request, the_line
from tests.support.roles import logins

pytestmark = pytest.mark.asyncio


async def test_the_role_of_the_http_side_suffices_for_every_route(
    module_kafka: str, database_url: str, engine: AsyncEngine
) -> None:
    urls = await logins(database_url)
    async with the_line(module_kafka, database_url) as line:
        request = a_request("demo2026", WINDOW)
        await line.sync(request)
        line.addresses = line.addresses._replace(database_url=urls["api"])
        event = f"/v1/events/{request.spreaview_event_id}"
        body = {
            "request_id": str(request.request_id),
            "organization_id": str(ORGANIZATION),
            "sessionize_api_id": "demo2026",
            "window": {
                "starts_on": str(WINDOW.starts_on),
                "ends_on": str(WINDOW.ends_on),
                "time_zone": WINDOW.time_zone,
            },
        }
        async with the_http_side(line) as http:
            for path in (
                "/v1/events",
                f"{event}/schedule",
                f"{event}/syncs/{request.request_id}",
                f"{event}/skipped",
                f"{event}/explain?session=Opening",
                f"{event}/history",
                "/v1/import-events",
                "/",
            ):
                answer = await http.client.get(path)
                assert answer.status_code == 200, path
            again = await http.client.post(
                f"{event}/syncs", json=body, headers={"Prefer": "wait=30"}
            )
            assert again.status_code == 200
    async with database(urls["api"], pool_size=1) as own, own.connect() as connection:
        with pytest.raises(Exception, match="permission denied"):
            await connection.exec_driver_sql("DELETE FROM event_store.inbox")
