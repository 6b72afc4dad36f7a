"""Run a service with a fault at every await: `python -m tests.support.faulty_awaits FILE worker`.

Each place raises one fault when it is first reached, and notes it in the file, which processes may
share. A service that a fault ends starts again. Everything is logged in both formats.
"""

import asyncio
import importlib.machinery
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

from tests.support.faulty_awaits.faults import FAULTS, Bait, baits, fault_at
from tests.support.faulty_awaits.places import CHECK, SERVED, Instrumented
from tests.support.processes import ROOT

T = TypeVar("T")


class Check:
    """Raises the fault of each place.

    Args:
        file: takes a line for each fault.
        values: what the errors quote.
    """

    def __init__(self, file: Path, values: str) -> None:
        self._file = file
        self._values = values
        self._reached: set[str] = set()
        self._baits = baits()

    async def awaiting(self, place: str, awaitable: Awaitable[T]) -> T:
        """Raise the fault of the place, or await."""
        if (error := self._next_fault(place)) is not None:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            raise error
        bait = self._next_bait(place, awaitable)
        if bait is None:
            return await awaitable
        if bait.is_done:
            await awaitable
        elif asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise bait.error

    async def iterating(self, place: str, iterable: AsyncIterator[T]) -> AsyncIterator[T]:
        """Raise the fault of the place, or iterate."""
        if (error := self._next_fault(place)) is not None:
            raise error
        async for each in iterable:
            yield each

    @asynccontextmanager
    async def entering(
        self, place: str, manager: AbstractAsyncContextManager[T]
    ) -> AsyncIterator[T]:
        """Raise the fault of the place, or enter."""
        if (error := self._next_fault(place)) is not None:
            raise error
        async with manager as entered:
            yield entered

    def _next_fault(self, place: str) -> Exception | None:
        if place in self._reached:
            return None
        self._reached.add(place)
        if self._file.exists() and f"{place}\t" in self._file.read_text("utf-8"):
            return None  # another process has raised it
        name = fault_at(place)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{place}\t{name}\n")
        return FAULTS[name](self._values)

    def _next_bait(self, place: str, awaitable: Awaitable[object]) -> Bait | None:
        for end, left in self._baits.items():
            if place.endswith(end):
                for bait in left:
                    if bait.suits(awaitable):
                        left.remove(bait)
                        return bait
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module with its checks; ignores cached code."""

    check: Check

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        module = Path(path).relative_to(ROOT).as_posix()
        return compile(Instrumented(module).tree, path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, CHECK, self.check)
        super().exec_module(module)


class _Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if f"{fullname.replace('.', '/')}.py" not in SERVED:
            return None
        spec = super().find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


def _hurry() -> None:
    """Shorten the waits of the program, for it waits after each of many faults."""
    from eventstore import leadership
    from messaging import backoff
    from projections import projector
    from worker.relay import chores, open_runs, relay

    defaults = backoff.retry_until_success.__kwdefaults__
    assert defaults is not None
    defaults |= {"first_wait": 0.01, "longest_wait": 0.05}
    for module, name, value in (
        (leadership, "STANDBY_SECONDS", 0.05),
        (relay, "_GIVE_WAY_SECONDS", 0.05),
        (open_runs, "LOOK_SECONDS", 0.2),
        (chores, "_PRUNE_SECONDS", 0.2),
        (projector, "_SWEEPS_PER_AHEAD_CHECK", 2),
    ):
        assert hasattr(module, name), name
        setattr(module, name, value)


def _leak() -> None:
    """Log whole errors, to show that the test finds them."""
    from cli import tracebacks

    tracebacks.describe_error = str  # type: ignore[attr-defined, assignment]


def _log_twice() -> None:
    """Have both formats written, whichever is set."""
    from cli import command, logs

    configure = logs.configure_logging

    def configure_both(level: str, style: str) -> None:
        configure(level, "json" if style == "console" else "console")
        (other,) = logging.getLogger().handlers
        configure(level, style)
        logging.getLogger().addHandler(other)

    setattr(command, "configure_logging", configure_both)  # noqa: B010 (it is no export)


def _main(file: str, command: str) -> None:
    if "cli.main" in sys.modules:
        raise RuntimeError("modules were imported before their instrumentation")
    values = ", ".join(json.loads(os.environ["FAULTY_AWAITS_VALUES"]))
    _Loader.check = Check(Path(file), values)
    sys.meta_path.insert(0, _Finder)
    from cli.main import main

    _hurry()
    _log_twice()
    if "FAULTY_AWAITS_LEAK" in os.environ:
        _leak()
    sys.argv[1:] = [command]
    while True:
        try:
            main()
        except SystemExit as end:
            if end.code == 0:  # it was stopped
                raise


if __name__ == "__main__":
    _main(*sys.argv[1:])
