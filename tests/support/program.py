"""Schedules with many talks, for the removal guard."""

from collections.abc import Iterable

from contracts.codec import JsonObject
from tests.support.documents import document, talk


def numbered(number: int, day: int = 28, **fields: object) -> JsonObject:
    """A talk that overlaps no other talk with a number below 64."""
    at = f"2026-05-{day}T{8 + number // 4:02}:00:00"
    return talk(f"{number:02}", at, room=number % 4, speakers=[f"s{number % 8}"]) | fields


def program(numbers: Iterable[int]) -> JsonObject:
    return document(*(numbered(number) for number in numbers))


FORTY = program(range(40))
HELD_21 = (FORTY, program(range(21, 40)))
"""The schedules before and after 21 of 40 imported talks disappear, so removals are withheld."""
