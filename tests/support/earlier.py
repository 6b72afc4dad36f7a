"""What an earlier commit stored, so that tests can show that the present code still uses it."""

import base64
import json
from pathlib import Path
from typing import NamedTuple

from contracts.codec import join, to_event
from contracts.events import ImportEvent
from eventstore.model import Snapshot

_FIXTURES = Path(__file__).parents[1] / "fixtures"


class Earlier(NamedTuple):
    """Synthetic events, the snapshot that the commit made of them, and its code version."""

    code_version: str
    snapshot: Snapshot
    events: list[ImportEvent]


def made_at(commit: str) -> Earlier:
    """Read `tests/fixtures/<commit>.json`, which was written by running the commit."""
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
