"""The public names that the oracle uses, written out."""

SYNC_REQUESTS = "spreaview.sync-requests.v1"
IMPORT_EVENTS = "spreaview.import-events.v1"
DEAD_LETTERS = "spreaview.sync-requests.dlq.v1"
WORKERS = "spreaview-worker"
PROJECTORS = "spreaview-projector"
TERMINAL = ("SyncCompleted", "SyncFailed")
CUTS = (*TERMINAL, "SyncStarted")
LEADER_LOCK = 0x5350_5245_4156_0003
"""The advisory lock that the leader of the relay holds."""
