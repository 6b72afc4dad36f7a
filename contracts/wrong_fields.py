"""Naming the wrong field of a JSON body: its path, what is wrong, and what to send instead."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

BODY = "body"
"""Stands for the whole body, where no field can be named."""

_MESSAGE = re.compile(r"(?P<cause>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_GOT = re.compile(r", got `(\w+)`$")
_TRUNCATED = "Input data was truncated"
_MALFORMED = "JSON is malformed: "
_LONGEST_NAME = 100

_FOUND = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


class WrongField(NamedTuple):
    """The field that makes a body unreadable."""

    path: str
    """Such as `window.starts_on`; `body` for the whole body."""
    words: str
    """A sentence without a full stop: it names the field, the cause and the remedy."""


def wrong_field(error: Exception, type_: type[Any]) -> WrongField:
    """Describe why a body cannot be decoded as a type. Quotes no value of the body.

    Takes `msgspec.DecodeError`, `UnicodeDecodeError` and `RecursionError`.
    """
    body = inspect.type_info(type_)
    if isinstance(error, msgspec.ValidationError):
        return _invalid(str(error), body)
    remedy = f"Send {_expected(body)}"
    match error:
        case UnicodeDecodeError():
            cause = "The body is not UTF-8"
        case RecursionError():
            cause = "The body is nested too deeply"
        case _ if str(error).startswith(_TRUNCATED):
            cause = "The body is empty or cut off"
        case _:
            cause = f"The body is not JSON: {str(error).removeprefix(_MALFORMED)}"
    return WrongField(BODY, f"{cause}. {remedy}")


def _invalid(message: str, body: inspect.Type) -> WrongField:
    found = _MESSAGE.fullmatch(message)
    cause, above = (found["cause"], found["path"] or "") if found else (message, "")
    above = above.removeprefix(".")
    holder = _at(body, above)
    if missing := _MISSING.fullmatch(cause):
        path = _join(above, missing[1])
        expected = _expected(_at(body, path))
        return WrongField(path, f"{path} is missing. Send {expected}")
    if unknown := _UNKNOWN.fullmatch(cause):
        name, known = unknown[1][:_LONGEST_NAME], _names(holder)
        path = _join(above, name)
        similar = get_close_matches(name, known, n=1)
        hint = f"Did you mean {similar[0]}? " if similar else ""
        return WrongField(path, f"{path} is not a field here. {hint}Known: {', '.join(known)}")
    got = _GOT.search(cause)
    but = f", not {_FOUND[got[1]]}" if got and got[1] in _FOUND else ""
    name = above or "The body"
    return WrongField(above or BODY, f"{name} must be {_expected(holder)}{but}")


def _join(above: str, name: str) -> str:
    return f"{above}.{name}" if above else name


def _at(type_: inspect.Type, path: str) -> inspect.Type:
    """The type at a path of field names; `AnyType` where the path leaves the known fields."""
    for name in filter(None, path.split(".")):
        holder = next((each for each in _alternatives(type_) if _names(each)), None)
        fields = holder.fields if isinstance(holder, inspect.StructType) else ()
        type_ = next((each.type for each in fields if each.encode_name == name), inspect.AnyType())
    return type_


def _alternatives(type_: inspect.Type) -> Sequence[inspect.Type]:
    """The members of a union, or the type itself; without the metadata around them."""
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    if isinstance(type_, inspect.UnionType):
        return [each for member in type_.types for each in _alternatives(member)]
    return (type_,)


def _names(type_: inspect.Type) -> list[str]:
    """The fields of an object; nothing for another type."""
    for each in _alternatives(type_):
        if isinstance(each, inspect.StructType):
            return [field.encode_name for field in each.fields]
    return []


def _expected(type_: inspect.Type) -> str:
    return " or ".join(dict.fromkeys(map(_one, _alternatives(type_))))


def _one(type_: inspect.Type) -> str:
    match type_:
        case inspect.StructType():
            return f"an object with the fields {', '.join(_names(type_))}"
        case inspect.StrType(min_length=least, max_length=most):
            return f"a text{_limits(least, most, ' characters', 'of')}"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number{_limits(least, most, '', 'from')}"
        case inspect.UUIDType():
            return "a UUID"
        case inspect.DateType():
            return "a date such as 2026-05-28"
        case inspect.DateTimeType():
            return "a time with an offset such as 2026-05-28T09:00:00Z"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case _:
            return "a value of another form"


def _limits(least: int | None, most: int | None, unit: str, between: str) -> str:
    if least is None:
        return "" if most is None else f" of at most {most}{unit}"
    return f" of at least {least}{unit}" if most is None else f" {between} {least} to {most}{unit}"
