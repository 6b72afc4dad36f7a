"""Edits of the conference at the stand-in, as an organiser makes them in Sessionize."""

from collections.abc import Callable, Mapping, MutableMapping
from copy import deepcopy
from typing import NamedTuple
from uuid import UUID

from cli.sandbox.answers import SavedAnswer
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.view_all import ScheduleDocument, SessionElement
from contracts.messages import Window


class _Edit(NamedTuple):
    label: str
    apply: Callable[[ScheduleDocument], None]


class EditableConference:
    """The conference that the page of the sandbox imports and edits."""

    def __init__(
        self,
        answers: MutableMapping[str, SavedAnswer],
        *,
        organization_id: UUID,
        event_id: UUID,
        api_id: str,
    ) -> None:
        """`answers` belong to the stand-in: an edit replaces the answer of the API ID."""
        self.organization_id = organization_id
        self.event_id = event_id
        self.api_id = api_id
        self._answers = answers
        self._document = conference(api_id)

    @property
    def window(self) -> Window:
        """The dates of the conference."""
        return conference_window()

    @property
    def edits(self) -> Mapping[str, str]:
        """The edits: a sentence by name."""
        return {name: edit.label for name, edit in _EDITS.items()}

    def edit(self, name: str) -> None:
        """Change the schedule. Raises KeyError for an unknown edit."""
        if name == "restore":
            self._document = conference(self.api_id)
        else:
            document = deepcopy(self._document)
            _EDITS[name].apply(document)
            self._document = document
        self._answers[self.api_id] = SavedAnswer(encode_conference(self._document))


def _talks(document: ScheduleDocument) -> list[SessionElement]:
    """The scheduled talks within the dates, by id, so that an edit always meets the same ones."""
    first, last = conference_window().starts_on, conference_window().ends_on
    talks = [
        row
        for row in document["sessions"]
        if not row["isServiceSession"]
        and row["startsAt"] is not None
        and str(first) <= row["startsAt"][:10] <= str(last)
    ]
    return sorted(talks, key=lambda row: row["id"])


def _rename(document: ScheduleDocument) -> None:
    for talk in _talks(document)[:1]:
        talk["title"] = f"{talk['title'].strip()}, revised"


def _move(document: ScheduleDocument) -> None:
    rooms = [room["id"] for room in document["rooms"]]
    for talk in _talks(document)[1:2]:
        place = rooms.index(talk["roomId"]) if talk["roomId"] in rooms else 0
        talk["roomId"] = rooms[(place + 1) % len(rooms)]


def _remove_one(document: ScheduleDocument) -> None:
    gone = {talk["id"] for talk in _talks(document)[:1]}
    document["sessions"] = [row for row in document["sessions"] if row["id"] not in gone]


def _remove_most(document: ScheduleDocument) -> None:
    kept = {talk["id"] for talk in _talks(document)[:2]}
    document["sessions"] = [row for row in document["sessions"] if row["id"] in kept]


def _unannounce(document: ScheduleDocument) -> None:
    for row in document["sessions"]:
        row["startsAt"] = row["endsAt"] = row["roomId"] = None


def _nothing(_: ScheduleDocument) -> None:
    """Restoring begins with a new document."""


_EDITS: Mapping[str, _Edit] = {
    "rename": _Edit("Change a title", _rename),
    "move": _Edit("Move a session to another room", _move),
    "remove-one": _Edit("Remove one session", _remove_one),
    "remove-most": _Edit("Remove most sessions", _remove_most),
    "unannounce": _Edit("Withdraw the announcement of the schedule", _unannounce),
    "restore": _Edit("Restore the schedule", _nothing),
}
