"""Explore every interleaving of coroutines, driven by hand without a clock or an event loop.

Each await of a coroutine ends in `Pending`: it returns control to the scheduler. A coroutine cannot
be copied, so each schedule is played from the beginning.
"""

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

LOST, UNCONFIRMED = "lost", "unconfirmed"
"""Ways for a step to fail: without its effect, or with it."""
LATE = "late"
"""The first try is given up and repeated; it arrives at any later moment, or never."""


class DeadError(BaseException):
    """The process was killed: none of its further steps happen."""


class Move(NamedTuple):
    """One choice of the scheduler."""

    actor: str
    how: str = "go"


@dataclass
class Pending:
    """The next step of an actor."""

    kind: str
    is_ready: Callable[[], bool]

    def __await__(self) -> Generator["Pending", str, str]:
        return (yield self)


class Playable(Protocol):
    """A world that is played move by move."""

    met: list[str]
    """Faults found on the way; must stay empty."""

    def moves(self) -> list[Move]: ...

    def do(self, move: Move) -> None: ...

    def key(self) -> object: ...

    def close(self) -> None: ...


P = TypeVar("P", bound=Playable)


class Explored(NamedTuple):
    """The size of an exploration."""

    states: int
    schedules: int
    """Number of schedules played to their end, or to a known state."""
    ends: int


async def explore(
    make: Callable[[], P],
    look: Callable[[P], None],
    look_at_end: Callable[[P], None],
) -> Explored:
    """Play every order to its end, each state once; `look` at each of them."""
    seen: set[object] = set()
    todo: list[tuple[Move, ...]] = [()]
    schedules = ends = 0
    while todo:
        done = todo.pop()
        schedules += 1
        world = make()
        try:
            for move in done:
                world.do(move)
            while True:
                assert not world.met, world.met
                look(world)
                key = world.key()
                if key in seen:
                    break
                seen.add(key)
                moves = world.moves()
                if not moves:
                    look_at_end(world)
                    ends += 1
                    break
                todo += [(*done, other) for other in moves[1:]]
                done = (*done, moves[0])
                world.do(moves[0])
        except AssertionError as error:
            error.add_note(" ".join(f"{move.actor}:{move.how}" for move in done))
            raise
        finally:
            world.close()
        if schedules % 1000 == 0:
            await asyncio.sleep(0)  # lets the event loop drop cancelled timeouts
    return Explored(len(seen), schedules, ends)
