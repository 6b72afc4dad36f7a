"""The codec: events of the log per second by msgspec, compared with the same model in pydantic."""

from collections.abc import AsyncIterator, Callable
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, create_model

from contracts import samples
from contracts.events import SessionImported
from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.servers import Servers

_EVENTS = {"quick": 2_000, "full": 20_000, "long": 20_000}


async def measure(_: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of decoding and encoding one event."""
    event = next(e for e in samples.EVENTS if isinstance(e, SessionImported))
    body = msgspec.json.encode(event)
    twin = _twin(SessionImported)
    decoder, twin_event = msgspec.json.Decoder(SessionImported), twin.model_validate_json(body)
    ways: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
        ("decode", lambda: decoder.decode(body), lambda: twin.model_validate_json(body)),
        ("encode", lambda: msgspec.json.encode(event), twin_event.model_dump_json),
    )
    for what, ours, theirs in ways:
        yield await compare(
            "–",
            f"{what} an event",
            ours=lambda ours=ours: _rate(ours, _EVENTS[size]),  # type: ignore[misc]
            floor=lambda theirs=theirs: _rate(theirs, _EVENTS[size]),  # type: ignore[misc]
            partner="pydantic",
            target=1,
        )


def _twin(struct: type) -> type[BaseModel]:
    """The same model in pydantic."""
    fields: dict[str, Any] = {
        name: (_twin_hint(hint), ...) for name, hint in get_type_hints(struct).items()
    }
    return create_model(struct.__name__, **fields)


def _twin_hint(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _twin(hint)
    parts = tuple(_twin_hint(part) for part in get_args(hint))
    if isinstance(hint, UnionType):
        return reduce(or_, parts)
    return get_origin(hint)[parts] if get_origin(hint) is tuple else hint


async def _rate(way: Callable[[], object], number: int) -> float:
    with Stopwatch() as watch:
        for _ in range(number):
            way()
    return number / watch.seconds
