"""Every event of an import fits into a Kafka record, for every document."""

import pytest

from contracts.canonical import canonical
from contracts.codec import JsonObject
from tests.support.documents import document, room, speaker, talk
from tests.support.given import given

MOST_BYTES = 1_000_000
"""The default limit of a broker is a little more than a million bytes."""

LONG = "t" * 65_000
LINKS = [{"title": "Blog", "url": f"https://{LONG}.example", "linkType": "Blog"}] * 20


def long_titles() -> JsonObject:
    """Sixty overlapping talks, each with a title of nearly 64 KiB."""
    until = "2026-05-28T10:00:00"
    return document(*(talk(str(number), until=until, title=LONG) for number in range(60)))


def many_links() -> JsonObject:
    return document(talk("1"), speakers=[speaker("ada", links=LINKS)])


def many_unreferenced() -> JsonObject:
    """A document with many speakers who have no session."""
    others: list[JsonObject] = [
        {"id": f"0a1b2c3d-4e5f-4a6b-8c7d-{number:012}"} for number in range(30_000)
    ]
    return document(talk("1"), speakers=[speaker("ada"), *others])


def everything_once() -> JsonObject:
    """One session with the longest allowed texts."""
    texts = dict.fromkeys(("title", "description", "liveUrl", "recordingUrl"), LONG)
    ada = dict.fromkeys(("firstName", "lastName", "fullName", "tagLine", "bio"), LONG)
    return document(talk("1") | texts, speakers=[speaker("ada") | ada], rooms=[room(7, name=LONG)])


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(made(), id=made.__name__)
        for made in (everything_once, long_titles, many_links, many_unreferenced)
    ],
)
def test_every_event_fits_into_a_record(source: JsonObject) -> None:
    sizes = [len(canonical(event)) for event in given().when(source).events]

    assert max(sizes) < MOST_BYTES
