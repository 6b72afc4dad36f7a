"""Verifying the chain of a stream: the hash, the version and the place of every event."""

from audit.verify.findings import FindingKind, Place
from audit.verify.raw_events import Content, RawEvent
from audit.verify.report import VerificationReport
from eventstore import chain


class ChainCheck:
    """Checks the events of one stream, in the order of their versions."""

    def __init__(self, report: VerificationReport) -> None:
        self._report = report
        self._version = 0
        self._position = 0
        self._head: bytes | None = chain.GENESIS
        """The predecessor's hash; None if the predecessor is missing."""

    def take(self, raw: RawEvent, content: Content, place: Place) -> None:
        """Check the next event."""
        if raw.version <= self._version:
            what = f"version {raw.version} exists twice or is below 1"
            self._report.add(FindingKind.MISSING, what, place)
        elif raw.version != self._version + 1:
            missing = f"versions {self._version + 1} to {raw.version - 1} are missing"
            self._report.add(FindingKind.MISSING, missing, place)
            self._head = None
        if raw.position <= self._position:
            what = f"position {raw.position} comes after {self._position}"
            self._report.add(FindingKind.DISORDERED, what, place)
        if content.uuid("spreaview_event_id") not in (None, raw.stream_id):
            self._report.add(FindingKind.RUN, "its data name another SpreaView event", place)
        self._check_hash(raw, content, place)
        self._version = max(raw.version, self._version)
        self._position, self._head = raw.position, raw.hash

    def _check_hash(self, raw: RawEvent, content: Content, place: Place) -> None:
        if self._head is None:
            self._report.unchecked["links to an event that is missing or has no hash"] += 1
            return
        found = "missing" if raw.hash is None else f"{raw.hash.hex()[:16]}…"
        try:
            expected = raw.hash_after(self._head, content.data, content.metadata)
        except Exception:  # of any type: the content is not what was hashed
            what = f"its hash is {found}, but its content cannot have a hash"
            self._report.add(FindingKind.CHANGED, what, place)
            return
        if expected != raw.hash:
            what = f"its hash is {found}, but its content gives {expected.hex()[:16]}…"
            self._report.add(FindingKind.CHANGED, what, place)
