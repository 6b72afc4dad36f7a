"""The trace of a command that requests a sync: it begins here, or continues the caller's.

A caller hands its trace over in the environment variable TRACEPARENT, as OpenTelemetry's
specification of environment variables as carriers has it.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import TypeAlias

from cli.telemetry.tracing import context_of, is_on, traceparent_of, tracing, unrecorded

Sending: TypeAlias = Callable[[str], AbstractContextManager[str | None]]
"""Observes the publishing to a topic; yields the `traceparent` to send with the message."""

_VARIABLE = "TRACEPARENT"


@asynccontextmanager
async def command_trace(name: str, about: Mapping[str, str]) -> AsyncIterator[Sending]:
    """Observe a command as a span while the block runs.

    Without an endpoint for traces nothing is exported, and the caller's trace is handed on.
    """
    parent = context_of(os.environ.get(_VARIABLE))
    if not is_on():
        caller = traceparent_of(unrecorded(parent))
        yield lambda _: nullcontext(caller)
        return
    from cli.telemetry.observing import ended, sending

    async with tracing(version("spreaview-sync"), name) as tracer:
        with ended(tracer.start_span(name, context=parent, attributes=about)):
            yield partial(sending, tracer)
