"""Events with msgspec, as the contracts have them, beside the same model in pydantic.

    python -m tests.benchmarks.codec

One process, the same event, times in µs per event: quote the ratios.
"""

import timeit
from typing import Any, get_type_hints

import msgspec
from pydantic import BaseModel, create_model

from contracts import samples
from contracts.events import SessionImported

ROUNDS, EVENTS = 5, 5000


def pydantic_twin(model: type[msgspec.Struct]) -> type[BaseModel]:
    """The same fields and types as a pydantic model."""
    fields: dict[str, Any] = {name: (hint, ...) for name, hint in get_type_hints(model).items()}
    return create_model(f"{model.__name__}Twin", **fields)


def main() -> None:
    event = next(e for e in samples.EVENTS if isinstance(e, SessionImported))
    body = msgspec.json.encode(event)
    twin = pydantic_twin(SessionImported)
    decoder = msgspec.json.Decoder(SessionImported)
    twin_event = twin.model_validate_json(body)
    ways = {
        "decode  msgspec": lambda: decoder.decode(body),
        "decode  pydantic": lambda: twin.model_validate_json(body),
        "encode  msgspec": lambda: msgspec.json.encode(event),
        "encode  pydantic": lambda: twin_event.model_dump_json(),
    }
    for name, way in ways.items():
        seconds = min(timeit.repeat(way, number=EVENTS, repeat=ROUNDS))
        print(f"{name:<18} {seconds / EVENTS * 1e6:7.2f} µs")


if __name__ == "__main__":
    main()
