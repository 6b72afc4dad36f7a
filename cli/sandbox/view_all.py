"""The JSON of `view/All` in the form that Sessionize writes today, for synthetic documents."""

from typing import TypedDict


class SessionElement(TypedDict):
    """An element of `sessions`."""

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
    """An element of `speakers`."""

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
    """An element of `rooms`."""

    id: int
    name: str
    sort: int


class ScheduleDocument(TypedDict):
    """The whole document, with its keys in Sessionize's order."""

    sessions: list[SessionElement]
    speakers: list[SpeakerElement]
    questions: list[dict[str, object]]
    categories: list[dict[str, object]]
    rooms: list[RoomElement]
