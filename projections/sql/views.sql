-- The public read models: views over the generation that search_path selects. Columns may only be
-- added, at the end. contracts/views.py lists them.

CREATE OR REPLACE VIEW spreaview.sync_runs AS
SELECT sync_id, spreaview_event_id, organization_id, status, requested_at, requested_by, started_at,
       finished_at, window_starts_on, window_ends_on, time_zone, api_id_masked, counts, warnings,
       withheld, failure_code, failure_message, failure_remedy, retryable, position
FROM sync_runs;

CREATE OR REPLACE VIEW spreaview.rooms AS
SELECT spreaview_event_id, room_id, sessionize_id, name, sort, status, position
FROM rooms;

CREATE OR REPLACE VIEW spreaview.event_speakers AS
SELECT spreaview_event_id, organization_id, speaker_id, sessionize_id, first_name, last_name,
       full_name, tag_line, bio, profile_picture, links, is_top_speaker, status, position
FROM event_speakers;

-- One row per speaker of the organization, from the newest SpreaView event that imports the speaker
-- now, or else from the newest that once did.
CREATE OR REPLACE VIEW spreaview.speakers AS
SELECT DISTINCT ON (organization_id, speaker_id)
       organization_id, speaker_id, sessionize_id, first_name, last_name, full_name, tag_line, bio,
       profile_picture, links, is_top_speaker, status, position
FROM event_speakers
ORDER BY organization_id, speaker_id, (status = 'imported') DESC, position DESC;

CREATE OR REPLACE VIEW spreaview.sessions AS
SELECT spreaview_event_id, session_id, session_code, sessionize_id, title, abstract, room_id,
       starts_at, ends_at, is_service_session, is_plenum_session, live_url, recording_url, status,
       position, topics,
       NOT is_service_session AND EXISTS (
           SELECT FROM session_speakers l
           WHERE l.spreaview_event_id = s.spreaview_event_id AND l.session_id = s.session_id)
           AS is_reviewable
FROM sessions s;

CREATE OR REPLACE VIEW spreaview.session_speakers AS
SELECT spreaview_event_id, session_id, speaker_id, ordinal
FROM session_speakers;

CREATE OR REPLACE VIEW spreaview.skipped_sessions AS
SELECT spreaview_event_id, sessionize_id, title, starts_at, ends_at, reason, missing,
       window_starts_at, window_ends_at, sync_id, position
FROM skipped_sessions;

CREATE OR REPLACE VIEW spreaview.stream_progress AS
SELECT spreaview_event_id, version, position
FROM stream_progress;
