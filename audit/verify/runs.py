"""Verifying the runs of a stream: every event belongs to a run with one start and one end."""

from uuid import UUID, uuid5

from audit.verify.findings import FindingKind, Place
from audit.verify.raw_events import Content, RawEvent
from audit.verify.report import VerificationReport
from contracts.events import TERMINAL_TYPES, SpeakerErased, SyncFailed, SyncStarted
from contracts.identity import OUTCOME, message_id


class RunCheck:
    """Follows the runs of one stream, event by event.

    The events of an outcome follow each other, because they are appended in one transaction. They
    count from 1; the last one ends the run. Memory holds 16 bytes per run.
    """

    def __init__(self, report: VerificationReport) -> None:
        self._report = report
        self._started: set[UUID] = set()
        self._ended: set[UUID] = set()
        self._outcome: UUID | None = None
        """The run whose outcome has begun and has not ended."""
        self._ordinal = 0
        self._skipped = 0
        """Unreadable events since the last readable one."""
        self._last = Place()

    def take(self, raw: RawEvent, content: Content, place: Place) -> None:
        """Check the next event."""
        sync_id = content.uuid("sync_id")
        if sync_id is None:
            self._leave_outcome(None)
            self._report.add(FindingKind.RUN, "its data name no run", place)
        elif raw.type == SyncStarted.__name__:
            self._start(raw, sync_id, place)
        elif raw.type == SpeakerErased.__name__:
            self._leave_outcome(None)
            expected = uuid5(sync_id, f"{raw.stream_id}:{content.fields.get('speaker_id')}")
            self._require_id(raw, expected, place)
        else:
            self._continue(raw, sync_id, place)
        self._last, self._skipped = place, 0

    def skip(self) -> None:
        """Pass over an unreadable event. It may have any place in a run, so it excuses gaps."""
        self._skipped += 1

    def end(self) -> None:
        """Finish after the last event."""
        self._leave_outcome(None)
        if still_open := len(self._started - self._ended):
            self._report.checked["runs without an outcome yet"] += still_open
        self._report.checked["runs"] += len(self._started | self._ended)

    def _start(self, raw: RawEvent, sync_id: UUID, place: Place) -> None:
        self._leave_outcome(None)
        if sync_id in self._started:
            self._report.add(FindingKind.RUN, "its run has started before", place)
        elif sync_id in self._ended:
            self._report.add(FindingKind.RUN, "its run has ended before", place)
        self._started.add(sync_id)
        self._require_id(raw, message_id(sync_id, 0), place)

    def _continue(self, raw: RawEvent, sync_id: UUID, place: Place) -> None:
        is_last = raw.type in TERMINAL_TYPES
        if sync_id != self._outcome:
            self._leave_outcome(sync_id)
            self._begin_outcome(raw, sync_id, place)
            if self._skipped and raw.message_id == message_id(sync_id, self._skipped + 1):
                self._ordinal = self._skipped
        else:
            self._ordinal += self._skipped
        self._ordinal += 1
        self._require_id(raw, message_id(sync_id, OUTCOME if is_last else self._ordinal), place)
        if is_last:
            self._ended.add(sync_id)
            self._outcome = None

    def _begin_outcome(self, raw: RawEvent, sync_id: UUID, place: Place) -> None:
        self._outcome, self._ordinal = sync_id, 0
        if sync_id in self._ended:
            self._report.add(FindingKind.RUN, "its run has ended before", place)
        elif not (sync_id in self._started or raw.type == SyncFailed.__name__ or self._skipped):
            self._report.add(FindingKind.RUN, "its run never started", place)

    def _leave_outcome(self, following: UUID | None) -> None:
        is_left = self._outcome is not None and self._outcome != following
        if is_left and not self._skipped:
            what = "its outcome does not end: SyncCompleted or SyncFailed must follow it"
            self._report.add(FindingKind.RUN, what, self._last)
        if is_left:
            self._outcome = None

    def _require_id(self, raw: RawEvent, expected: UUID, place: Place) -> None:
        if raw.message_id != expected:
            what = f"its message id is {raw.message_id}, but its run gives {expected}"
            self._report.add(FindingKind.MESSAGE_ID, what, place)
