"""The answers of the Sessionize double, their record, and planned failures."""

import hashlib
import random
import time
from collections import deque
from typing import NamedTuple

from tests.support.chaos.plan import Kind
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending, page

_PER_SECOND = 4.0
"""Rate of answers, if they were sent one after the other."""
_LONGEST_SECONDS = 1.0


class Served(NamedTuple):
    """A served body."""

    api_id: str
    digest: str
    """SHA-256 in hex."""
    body: bytes
    at: float
    """Monotonic time of the decision about the answer."""


class Recorder(Documents):
    """Serves the newest body of each API ID, and records every served body.

    Every answer takes a moment, so that runs are under way when something befalls the stack.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = random.Random("answers")
        self.served: list[Served] = []
        """Completely served bodies, in order."""
        self._bad: deque[tuple[Kind, float]] = deque()

    def misbehave(self, kind: Kind, seconds: float, times: int) -> None:
        """Let the next answers fail, for every client; `seconds` is the delay of slow ones."""
        self._bad.extend([(kind, seconds)] * times)

    def behave(self) -> None:
        """Stop failing."""
        self._bad.clear()

    async def answer(self, method: str, target: str) -> Answer:
        """Return the current answer."""
        good = await super().answer(method, target)
        if good.status != 200:
            return good
        usual = Kind.DELAY, min(self._dice.expovariate(_PER_SECOND), _LONGEST_SECONDS)
        kind, seconds = self._bad.popleft() if self._bad else usual
        answer = _spoiled(good, kind, seconds)
        if kind is Kind.DELAY:
            api_id = target.split("/")[3]
            digest = hashlib.sha256(good.body).hexdigest()
            self.served.append(Served(api_id, digest, good.body, time.monotonic()))
        return answer


def _spoiled(good: Answer, kind: Kind, seconds: float) -> Answer:
    half = len(good.body) // 2
    match kind:
        case Kind.DELAY:
            return good._replace(delivery=Delivery(head_after_seconds=seconds))
        case Kind.ERROR:
            return page(500, "Server error")
        case Kind.TOO_MANY:
            return page(429, "Too many requests")._replace(headers={"Retry-After": "1"})
        case Kind.TRUNCATE:
            length = len(good.body)
            return good._replace(delivery=Delivery(body_bytes=half, content_length=length))
        case Kind.RESET:
            return good._replace(delivery=Delivery(body_bytes=half, ending=Ending.RESET))
        case Kind.HANG:
            return good._replace(delivery=Delivery(body_bytes=half, ending=Ending.HANG))
        case _:
            raise ValueError(f"{kind} does not befall Sessionize")
