"""Real Sessionize documents, from a folder next to the checkout; the repository has none."""

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the real documents are not next to this checkout (shared/corpus)"
)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes().decode("utf-8-sig"))
    return document


@contextmanager
def plain_server(folder: Path) -> Iterator[str]:
    """A plain HTTP server of a folder; yields its base URL."""
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def lay_out(documents: dict[str, Path], folder: Path) -> None:
    """Files such that `{folder}/{api_id}/view/All` is a document, byte for byte."""
    for api_id, path in documents.items():
        target = folder / api_id / "view" / "All"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


# The expected results are computed from the document alone, without the product.

_DROPPED = re.compile("[\u200b\u2060\ufeff\u202d\u202e]")


def shown(text: str | None) -> str | None:
    """The text rule."""
    if text is None:
        return None
    text = _DROPPED.sub("", text).replace("\r\n", "\n")
    text = "".join(c for c in text if c in "\t\n" or unicodedata.category(c) != "Cc")
    return unicodedata.normalize("NFC", text).strip()


def instant(text: str, zone: str) -> datetime:
    """A document's time as an instant."""
    if text.endswith("Z"):
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def in_window(session: dict[str, Any], days: tuple[date, date], zone: str) -> bool:
    """Whether a session starts on one of the days, and has an end and a room."""
    if not session["startsAt"] or not session["endsAt"] or session["roomId"] is None:
        return False
    local = instant(session["startsAt"], zone).astimezone(ZoneInfo(zone)).date()
    return days[0] <= local <= days[1]


def expected(
    document: dict[str, Any], days: tuple[date, date], zone: str
) -> dict[str, dict[str, Any]]:
    """The expected rows: sessions, rooms and speakers by their Sessionize ids."""
    sessions = {s["id"]: s for s in document["sessions"] if in_window(s, days, zone)}
    used_rooms = {str(s["roomId"]) for s in sessions.values()}
    used_speakers = {speaker for s in sessions.values() for speaker in s["speakers"]}
    topics = {
        item["id"]: {"category": shown(category["title"]), "topic": shown(item["name"])}
        for category in document.get("categories") or []
        if category.get("type") != "speaker"
        for item in category["items"]
    }
    return {
        "sessions": {
            key: {
                "title": shown(s["title"]),
                "abstract": shown(s["description"]),
                "room": str(s["roomId"]),
                "starts_at": instant(s["startsAt"], zone),
                "ends_at": instant(s["endsAt"], zone),
                "is_service_session": s["isServiceSession"],
                "is_plenum_session": s["isPlenumSession"],
                "live_url": shown(s.get("liveUrl")),
                "recording_url": shown(s.get("recordingUrl")),
                "speakers": list(s["speakers"]),
                "topics": [topics[item] for item in s.get("categoryItems") or []],
                "is_reviewable": bool(s["speakers"]) and not s["isServiceSession"],
            }
            for key, s in sessions.items()
        },
        "rooms": {
            str(r["id"]): {"name": shown(r["name"]), "sort": r["sort"]}
            for r in document["rooms"]
            if str(r["id"]) in used_rooms
        },
        "speakers": {
            p["id"]: {
                "first_name": shown(p["firstName"]),
                "last_name": shown(p["lastName"]),
                "full_name": shown(p["fullName"]),
                "tag_line": shown(p["tagLine"]),
                "bio": shown(p["bio"]),
                "profile_picture": shown(p["profilePicture"]),
                "is_top_speaker": p["isTopSpeaker"],
                "links": [
                    {
                        "title": shown(link["title"]),
                        "url": shown(link["url"]),
                        "link_type": shown(link["linkType"]),
                    }
                    for link in p["links"]
                ],
            }
            for p in document["speakers"]
            if p["id"] in used_speakers
        },
    }
