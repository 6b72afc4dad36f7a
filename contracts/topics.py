"""Names of the Kafka topics.

Every topic is keyed by `spreaview_event_id` as text, unless its text names another key. The broker
stamps the records (LogAppendTime).
"""

SYNC_REQUESTS = "spreaview.sync-requests.v1"
"""`SyncRequested` messages for the worker."""

IMPORT_EVENTS = "spreaview.import-events.v1"
"""Every import event, in stream order, as CloudEvents. The log, not this topic, is the history."""

DEAD_LETTERS = "spreaview.sync-requests.dlq.v1"
"""Requests of any kind whose ids could not be read, byte for byte, with the reason."""

LOG_SEALS = "spreaview.log-seals.v1"
"""Stream heads of the log, so that a cut tail can be noticed (compacted)."""

ERASURE_REQUESTS = "spreaview.erasure-requests.v1"
"""`SpeakerErasureRequested` messages for the worker, keyed by `organization_id` as text."""

REQUESTS = frozenset({SYNC_REQUESTS, ERASURE_REQUESTS})
"""The topics to which a dead letter may return."""

TOPICS = frozenset({SYNC_REQUESTS, IMPORT_EVENTS, DEAD_LETTERS, LOG_SEALS, ERASURE_REQUESTS})

DEFAULT_PARTITIONS = 12
