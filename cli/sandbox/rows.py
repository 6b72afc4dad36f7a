"""The shape of `view/All` as Sessionize writes it today, for documents that are made here."""

from typing import TypedDict


class SessionRow(TypedDict):
    """`sessions[]`."""

    id: str
    title: str
    description: str | None
    startsAt: str | None
    endsAt: str | None
    isServiceSession: bool
    isPlenumSession: bool
    speakers: list[str]
    categoryItems: list[int]
    questionAnswers: list[dict[str, object]]
    roomId: int | None
    liveUrl: str | None
    recordingUrl: str | None
    status: str | None
    isInformed: bool
    isConfirmed: bool


class SpeakerRow(TypedDict):
    """`speakers[]`."""

    id: str
    firstName: str
    lastName: str
    bio: str | None
    tagLine: str | None
    profilePicture: str | None
    isTopSpeaker: bool
    links: list[dict[str, str]]
    sessions: list[int]
    fullName: str
    categoryItems: list[int]
    questionAnswers: list[dict[str, object]]


class RoomRow(TypedDict):
    """`rooms[]`."""

    id: int
    name: str
    sort: int


class Conference(TypedDict):
    """The document, its keys in Sessionize's order."""

    sessions: list[SessionRow]
    speakers: list[SpeakerRow]
    questions: list[dict[str, object]]
    categories: list[dict[str, object]]
    rooms: list[RoomRow]
