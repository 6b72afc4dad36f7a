"""Proves that a slow function leaves the event loop free."""

import asyncio
import threading
from collections.abc import Awaitable
from types import ModuleType
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

_PATIENCE = 10.0


async def with_free_loop(
    work: Awaitable[T], patch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> T:
    """Do the work, in which a function of the module returns only after the loop has run.

    On the loop itself the function would wait in vain.
    """
    original, has_run, calls = getattr(module, name), threading.Event(), 0

    def waiting(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        loop.call_soon_threadsafe(has_run.set)
        assert has_run.wait(_PATIENCE), f"{name} holds up the event loop"
        return original(*args, **more)

    loop = asyncio.get_running_loop()
    patch.setattr(module, name, waiting)
    result = await work
    assert calls, f"{name} was not called"
    return result
