"""Python's garbage collector, as this program needs it (ADR 0029)."""

import gc

_NEW_OBJECTS = 10_000

NEW_OBJECTS_OF_A_REBUILD = 200_000
"""More than a page of a rebuild keeps: all of them are freed without the collector."""


def collect_rarely(new_objects: int = _NEW_OBJECTS) -> None:
    """Leave the imported modules out of collections, and collect after 10,000 new objects.

    A page of a thousand events consists of many small objects without cycles. They are freed
    without the collector. By default it would look at them after every 700 new ones, and often at
    everything that was imported. Call this after the imports. It also starts a collector that
    `cli.start` has stopped for them.
    """
    gc.freeze()
    gc.set_threshold(new_objects, 10, 10)
    gc.enable()
