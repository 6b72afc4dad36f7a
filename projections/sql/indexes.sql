-- Indexes for queries. A rebuild creates them after it has filled the tables, which is faster.

CREATE INDEX IF NOT EXISTS sync_runs_of_event ON sync_runs (spreaview_event_id, position);
CREATE INDEX IF NOT EXISTS event_speakers_of_organization ON event_speakers (organization_id, speaker_id);
CREATE INDEX IF NOT EXISTS sessions_by_code ON sessions (session_code);
CREATE INDEX IF NOT EXISTS session_speakers_of_speaker ON session_speakers (speaker_id);
