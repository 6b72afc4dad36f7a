"""Data that an earlier commit stored; tests show that the present code still uses it."""

import base64
import json
from pathlib import Path
from typing import NamedTuple

from contracts.codec import join, to_event
from contracts.events import ImportEvent
from eventstore.model import Snapshot

_FIXTURES = Path(__file__).parents[1] / "fixtures"


class Earlier(NamedTuple):
    """Synthetic events, with the snapshot and the code version of the commit."""

    code_version: str
    snapshot: Snapshot
    events: list[ImportEvent]


def made_at(commit: str) -> Earlier:
    """Read `tests/fixtures/<commit>.json`, a file that the commit itself wrote."""
    stored = json.loads((_FIXTURES / f"{commit}.json").read_text("utf-8"))
    snapshot = stored["snapshot"]
    return Earlier(
        stored["code_version"],
        Snapshot(**snapshot | {"body": base64.b64decode(snapshot["body"])}),
        [
            to_event(
                event["type"],
                join(
                    event["type"],
                    event["schema_version"],
                    json.dumps(event["data"]),
                    json.dumps(event["personal"]) if "personal" in event else None,
                ),
            )
            for event in stored["events"]
        ],
    )
