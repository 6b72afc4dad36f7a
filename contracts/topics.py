"""Names of the Kafka topics.

Every topic is keyed by `spreaview_event_id` as text, and stamped by the broker (LogAppendTime).
"""

SYNC_REQUESTS = "spreaview.sync-requests.v1"
"""`SyncRequested` messages for the worker."""

IMPORT_EVENTS = "spreaview.import-events.v1"
"""Every import event, in stream order, as CloudEvents. The log, not this topic, is the history."""

DEAD_LETTERS = "spreaview.sync-requests.dlq.v1"
"""Requests whose ids could not be read, byte for byte, with the reason."""

LOG_SEALS = "spreaview.log-seals.v1"
"""Stream heads of the log, so that a cut tail can be noticed (compacted)."""

TOPICS = frozenset({SYNC_REQUESTS, IMPORT_EVENTS, DEAD_LETTERS, LOG_SEALS})

DEFAULT_PARTITIONS = 12
