"""Announcing what the read models show: a NOTIFY on the channel `spreaview` with each commit."""

CHANNEL = "spreaview"

# PostgreSQL delivers the notifications when the transaction commits, and none if it does not. They
# are hints: only the sessions that listen at that moment get them, and none on a replica.
# `spreaview.stream_progress` is the truth.
ANNOUNCE = f"""
    SELECT pg_notify('{CHANNEL}', json_build_object(
        'spreaview_event_id', moved.spreaview_event_id, 'version', moved.version,
        'position', moved.position)::text)
    FROM moved
"""  # noqa: S608 (of constants)
"""Notifies listeners of the versions that the read models show now; `moved` holds them."""
