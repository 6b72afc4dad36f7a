-- The answers to erasure requests. They belong to no generation: no event holds a refusal.

CREATE OR REPLACE VIEW spreaview.erasures AS
SELECT request_id, organization_id, speaker_id, status, streams, erased_at, reason
FROM event_store.erasures;
