"""The shape of `view/All` as Sessionize writes it today, for documents that are made here."""

from typing import TypedDict


class SessionElement(TypedDict):
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


class SpeakerElement(TypedDict):
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


class RoomElement(TypedDict):
    """`rooms[]`."""

    id: int
    name: str
    sort: int


class ScheduleDocument(TypedDict):
    """The document, its keys in Sessionize's order."""

    sessions: list[SessionElement]
    speakers: list[SpeakerElement]
    questions: list[dict[str, object]]
    categories: list[dict[str, object]]
    rooms: list[RoomElement]
