"""The codec: events of the log per second by msgspec, compared with the same model in pydantic."""

from collections.abc import AsyncIterator, Callable
from typing import Any, get_type_hints

import msgspec
from pydantic import create_model

from contracts import samples
from contracts.events import SessionImported
from tests.benchmarks.harness import Result, Size, Stopwatch, compare
from tests.benchmarks.servers import Servers

_EVENTS = {"quick": 2_000, "full": 20_000, "long": 20_000}


async def measure(_: Servers, size: Size) -> AsyncIterator[Result]:
    """Yield the results of decoding and encoding one event."""
    event = next(e for e in samples.EVENTS if isinstance(e, SessionImported))
    body = msgspec.json.encode(event)
    fields: dict[str, Any] = {
        name: (hint, ...) for name, hint in get_type_hints(SessionImported).items()
    }
    twin = create_model("Twin", **fields)
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


async def _rate(way: Callable[[], object], number: int) -> float:
    with Stopwatch() as watch:
        for _ in range(number):
            way()
    return number / watch.seconds
