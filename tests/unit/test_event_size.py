"""Whatever a document holds, every event of its import fits into a record of Kafka."""

import pytest

from contracts.canonical import canonical
from contracts.codec import JsonObject
from tests.support.documents import document, room, speaker, talk
from tests.support.given import given

MOST_BYTES = 1_000_000
"""A broker refuses more than about a million bytes unless its operator allows more."""

LONG = "t" * 65_000
LINKS = [{"title": "Blog", "url": f"https://{LONG}.example", "linkType": "Blog"}] * 20


def long_titles() -> JsonObject:
    """Sixty overlapping talks, each with a title of nearly 64 KiB."""
    until = "2026-05-28T10:00:00"
    return document(*(talk(str(number), until=until, title=LONG) for number in range(60)))


def many_links() -> JsonObject:
    return document(talk("1"), speakers=[speaker("ada", links=LINKS)])


def many_unreferenced() -> JsonObject:
    """The speakers of a wider selection than that of the sessions."""
    others: list[JsonObject] = [
        {"id": f"0a1b2c3d-4e5f-4a6b-8c7d-{number:012}"} for number in range(30_000)
    ]
    return document(talk("1"), speakers=[speaker("ada"), *others])


def everything_once() -> JsonObject:
    """One session whose every text is as long as it may be."""
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
