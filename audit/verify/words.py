"""The words of a verification: a heading and a next step for each kind of finding."""

from collections.abc import Mapping

from audit.verify.findings import FindingKind

HEADINGS: Mapping[FindingKind, str] = {
    FindingKind.UNREADABLE: "Rows cannot be read",
    FindingKind.CHANGED: "Events were changed after they were recorded",
    FindingKind.MISSING: "Events are missing, or exist twice",
    FindingKind.DISORDERED: "Positions or times are out of order",
    FindingKind.HEAD: "Stream heads differ from the last events",
    FindingKind.MESSAGE_ID: "Message ids differ from those of their runs",
    FindingKind.RUN: "Runs do not have one start and one end",
    FindingKind.INBOX: "The inbox differs from the outcomes in the log",
    FindingKind.SEAL: "Sealed events are missing or differ",
    FindingKind.LOG: "The identity of the log differs",
    FindingKind.CHECKPOINT: "The relay's records name events that are not in the log",
    FindingKind.PERSONAL_DATA: "Personal data were changed, or are gone without an erasure",
    FindingKind.FORGOTTEN: "Data of erased persons are in the database again",
    FindingKind.SOURCE: "Documents were changed, or are gone without a reason",
    FindingKind.SNAPSHOT: "Snapshots differ from their events",
    FindingKind.GUARD: "Definitions in the database were changed",
    FindingKind.READ_MODEL: "Rows of read models differ from their events",
    FindingKind.READ_SIDE: "The views do not show the newest state",
}

_RESTORE = (
    "The log was changed in the database. Stop the worker, keep the database as it is for an "
    "inquiry, and restore the log from a backup that verifies."
)

NEXT_STEPS: Mapping[FindingKind, str] = {
    FindingKind.UNREADABLE: _RESTORE,
    FindingKind.CHANGED: _RESTORE,
    FindingKind.MISSING: _RESTORE,
    FindingKind.DISORDERED: (
        "If the clock of the database was set back at that time, nothing is wrong. Otherwise "
        "events were moved: restore the log from a backup that verifies."
    ),
    FindingKind.HEAD: _RESTORE,
    FindingKind.MESSAGE_ID: _RESTORE,
    FindingKind.RUN: _RESTORE,
    FindingKind.INBOX: (
        "A request that is in the inbox without an outcome would never be handled: delete such "
        "rows of event_store.inbox, and insert the missing ones."
    ),
    FindingKind.SEAL: _RESTORE,
    FindingKind.LOG: (
        "After a restore the log has a new id: seals of the earlier log name what the restore has "
        "lost, and prove nothing about this one. Run spreaview-sync seals export --output FILE "
        "with a new file, and verify with that. Without a restore the row of event_store.log was "
        "changed: restore it."
    ),
    FindingKind.CHECKPOINT: (
        "Run spreaview-sync relay status. After a restore: spreaview-sync relay rewind --restored."
    ),
    FindingKind.PERSONAL_DATA: (
        "Restore event_store.personal_data from a backup of a time after the last erasure."
    ),
    FindingKind.FORGOTTEN: (
        "Erase these persons again: spreaview-sync erase-speaker, once for each organization and "
        "speaker. Delete rows under a wrong subject by hand."
    ),
    FindingKind.SOURCE: (
        "Restore event_store.sources from a backup of a time after the last erasure."
    ),
    FindingKind.SNAPSHOT: (
        "Delete these rows of event_store.snapshots: the next sync makes new ones."
    ),
    FindingKind.GUARD: (
        "Restore each definition as the finding names it, then verify again: the chains and the "
        "seals show whether events were changed meanwhile."
    ),
    FindingKind.READ_MODEL: (
        "Run spreaview-sync projections repair EVENT for each SpreaView event that is named."
    ),
    FindingKind.READ_SIDE: "Run the command that each finding names.",
}

SINGULARS: Mapping[str, str] = {
    "checkpoints": "checkpoint",
    "definitions in the database": "definition in the database",
    "documents": "document",
    "erased persons": "erased person",
    "events": "event",
    "public views": "public view",
    "rows of read models": "row of read models",
    "runs": "run",
    "runs without an outcome yet": "run without an outcome yet",
    "seals": "seal",
    "sequences": "sequence",
    "snapshots": "snapshot",
    "streams": "stream",
}
"""Singulars of the things that a report counts as checked, if they can be counted."""

WITHOUT_SEALS = (
    "Verify with seals that were kept elsewhere (spreaview-sync seals export): without them a "
    "cut tail or a rebuilt chain cannot be noticed."
)
