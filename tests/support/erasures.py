"""Speakers who are forgotten, and requests to forget them."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from contracts import identity
from contracts.messages import SpeakerErasureRequested
from tests.support.documents import document, speaker, talk
from tests.support.line import ORGANIZATION, PATIENCE, Line


class Person:
    """A speaker with a text of their own in every personal field."""

    def __init__(self) -> None:
        self.guid = str(uuid4())
        self.mark = f"q{uuid4().hex[:12]}"

    def serve(self, line: Line, api_id: str) -> None:
        names = dict.fromkeys(("firstName", "lastName", "fullName", "bio", "tagLine"), self.mark)
        people = [speaker(self.guid) | names, speaker("ada")]
        talks = [talk("1", speakers=[self.guid]), talk("2", "2026-05-28T11:00:00")]
        line.double.serve(api_id, json.dumps(document(*talks, speakers=people)).encode())

    def id_in(self, organization: UUID) -> UUID:
        return identity.speaker_id(organization, self.guid)


def a_call(organization: UUID = ORGANIZATION, **fields: Any) -> SpeakerErasureRequested:
    ids: dict[str, Any] = {"request_id": uuid4(), "organization_id": organization}
    return SpeakerErasureRequested(**(ids | fields), requested_at=datetime.now(UTC))


async def answer_to(line: Line, request_id: UUID) -> dict[str, object]:
    """Wait for the row of the public view."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with line.engine.connect() as connection:
                found = await connection.execute(
                    text("SELECT * FROM spreaview.erasures WHERE request_id = :id"),
                    {"id": request_id},
                )
                if row := found.one_or_none():
                    return dict(row._mapping)
            await asyncio.sleep(0.05)
