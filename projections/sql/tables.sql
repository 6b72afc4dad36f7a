-- The tables of one generation of read models, created in the first schema of search_path.
-- New columns are nullable, stand last, and are listed in ADDED_COLUMNS (projections/tables.py), so
-- that `migrate` adds them to existing generations, too. A rebuild then fills a new generation.

CREATE TABLE stream_progress (
    spreaview_event_id uuid PRIMARY KEY,
    version            bigint NOT NULL DEFAULT 0,
    position           bigint NOT NULL DEFAULT 0,
    error              text,        -- why this stream stopped; null while it continues
    stopped_at         timestamptz,
    code_version       text,        -- of the projections that failed
    stopped_by         bigint       -- position of the event that could not be applied, if known
) WITH (fillfactor = 70);

CREATE TABLE sync_runs (
    sync_id            uuid PRIMARY KEY,
    spreaview_event_id uuid NOT NULL,
    organization_id    uuid NOT NULL,
    status             text NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'superseded')),
    requested_at       timestamptz,
    requested_by       text,
    started_at         timestamptz,
    finished_at        timestamptz,
    window_starts_on   date,
    window_ends_on     date,
    time_zone          text,
    api_id_masked      text,
    counts             jsonb,
    warnings           jsonb,
    withheld           jsonb,
    failure_code       text,
    failure_message    text,
    failure_remedy     text,
    retryable          boolean,
    position           bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE rooms (
    spreaview_event_id uuid NOT NULL,
    room_id            uuid NOT NULL,
    sessionize_id      text NOT NULL,
    name               text NOT NULL,
    sort               bigint NOT NULL,
    status             text NOT NULL CHECK (status IN ('imported', 'withdrawn')),
    position           bigint NOT NULL,
    PRIMARY KEY (spreaview_event_id, room_id)
);

CREATE TABLE event_speakers (
    spreaview_event_id uuid NOT NULL,
    organization_id    uuid NOT NULL,
    speaker_id         uuid NOT NULL,
    sessionize_id      text NOT NULL,
    first_name         text,
    last_name          text,
    full_name          text,
    tag_line           text,
    bio                text,
    profile_picture    text,
    links              jsonb,
    is_top_speaker     boolean NOT NULL,
    status             text NOT NULL CHECK (status IN ('imported', 'withdrawn', 'erased')),
    position           bigint NOT NULL,
    PRIMARY KEY (spreaview_event_id, speaker_id)
);

CREATE TABLE sessions (
    spreaview_event_id uuid NOT NULL,
    session_id         uuid NOT NULL,
    session_code       text NOT NULL,
    sessionize_id      text NOT NULL,
    title              text NOT NULL,
    abstract           text,
    room_id            uuid NOT NULL,
    starts_at          timestamptz NOT NULL,
    ends_at            timestamptz NOT NULL,
    is_service_session boolean NOT NULL,
    is_plenum_session  boolean NOT NULL,
    live_url           text,
    recording_url      text,
    status             text NOT NULL CHECK (status IN ('scheduled', 'withdrawn')),
    position           bigint NOT NULL,
    topics             jsonb,       -- null: unknown until the next sync
    PRIMARY KEY (spreaview_event_id, session_id)
);

CREATE TABLE session_speakers (
    spreaview_event_id uuid NOT NULL,
    session_id         uuid NOT NULL,
    speaker_id         uuid NOT NULL,
    ordinal            integer NOT NULL,  -- 1, 2, … in the order of display
    PRIMARY KEY (spreaview_event_id, session_id, speaker_id)
);

CREATE TABLE skipped_sessions (
    spreaview_event_id uuid NOT NULL,
    sessionize_id      text NOT NULL,
    title              text NOT NULL,
    starts_at          timestamptz,
    ends_at            timestamptz,
    reason             text NOT NULL CHECK (reason IN ('before_window', 'after_window', 'unscheduled')),
    missing            jsonb,
    window_starts_at   timestamptz,
    window_ends_at     timestamptz,
    sync_id            uuid NOT NULL,
    position           bigint NOT NULL,
    PRIMARY KEY (spreaview_event_id, sessionize_id)
);
