"""Bodies of requests, and publishing what they ask for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request

from contracts.messages import SpeakerErasureRequested, SyncRequested
from contracts.wrong_fields import BODY, wrong_field
from projections.http.problem import ProblemError, ProblemType, bad_request

JSON = "application/json"
MAX_BODY_BYTES = 64 * 1024
_BODY_SECONDS = 10

T = TypeVar("T")
Publish = Callable[[SyncRequested | SpeakerErasureRequested], Awaitable[None]]
"""Publishes a request; returns when the broker has confirmed it. Raises `PublishError`."""


class PublishError(Exception):
    """Kafka did not confirm the request. The message is a sentence without secrets."""


async def publish_or_refuse(
    publish: Publish, message: SyncRequested | SpeakerErasureRequested
) -> None:
    """Publish a request. Raises `ProblemError` if Kafka does not confirm it."""
    try:
        await publish(message)
    except PublishError as error:
        raise ProblemError(
            ProblemType.UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from error


async def read_body(request: Request, type_: type[T]) -> T:
    """Read a JSON body.

    Raises:
        ProblemError: the body is too large, or cannot be read as the type; `field` is the path of
            the wrong field, such as `window.starts_on`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE, f"Send the body as Content-Type: {JSON}"
        )
    try:
        return msgspec.json.decode(await limited_body(request), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(*wrong_field(error, type_)) from error


async def limited_body(request: Request) -> bytes:
    """The body, up to 64 KiB within 10 seconds. Raises `ProblemError` beyond."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ProblemError(ProblemType.TOO_LARGE, "The body is larger than 64 KiB")
    except TimeoutError:
        raise bad_request(BODY, "The body did not arrive within 10 seconds") from None
    return bytes(body)
