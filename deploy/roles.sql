-- The rights of spreaview-sync: five roles that may do their job and nothing else.
--
-- The owner is the role that runs `spreaview-sync migrate`; it needs no entry here. Run this file as
-- the owner after the first migrate and again after every later one:
--
--     psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$SPREAVIEW_DATABASE_URL"
--
-- The roles cannot log in. Give each process a login that is a member of one of them:
--
--     CREATE ROLE worker_1 LOGIN PASSWORD '…' IN ROLE spreaview_worker;
--
-- Roles belong to the server: creating them needs CREATEROLE. An owner without it asks an
-- administrator to create the five roles below with NOLOGIN; this file then leaves them as they are.

BEGIN;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['spreaview_worker', 'spreaview_projector', 'spreaview_reader',
                                'spreaview_auditor', 'spreaview_api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
END $$;

-- What an earlier version of this file granted is taken back first.
REVOKE ALL ON ALL TABLES IN SCHEMA event_store, projections, spreaview
    FROM spreaview_worker, spreaview_projector, spreaview_reader, spreaview_auditor, spreaview_api;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA event_store
    FROM spreaview_worker, spreaview_projector, spreaview_reader, spreaview_auditor, spreaview_api;
REVOKE ALL ON SCHEMA event_store, projections, spreaview
    FROM spreaview_worker, spreaview_projector, spreaview_reader, spreaview_auditor, spreaview_api;

-- Every process compares the schema version before it begins.
GRANT USAGE ON SCHEMA event_store
    TO spreaview_worker, spreaview_projector, spreaview_reader, spreaview_auditor, spreaview_api;
GRANT SELECT ON event_store.schema_version
    TO spreaview_worker, spreaview_projector, spreaview_reader, spreaview_auditor, spreaview_api;
-- Every service checks that the log is not a restored one that lacks erasures.
GRANT SELECT ON event_store.confirmed_places
    TO spreaview_worker, spreaview_projector, spreaview_auditor, spreaview_api;
GRANT SELECT (log_id) ON event_store.log TO spreaview_projector;

-- worker: `spreaview-sync worker`, which appends to the log and publishes it, and answers erasure
-- requests; `relay status` and `relay rewind --to`; `plan`. It can neither change nor delete an event.
-- For erasures it deletes personal data, and clears the columns of speakers in the read models; it
-- reads nothing else of them.
GRANT SELECT ON event_store.log TO spreaview_worker;
GRANT SELECT, INSERT ON event_store.events, event_store.inbox, event_store.erased_subjects,
    event_store.erasures TO spreaview_worker;
GRANT SELECT, INSERT, DELETE ON event_store.personal_data TO spreaview_worker;
GRANT SELECT, INSERT, UPDATE ON event_store.streams, event_store.checkpoints TO spreaview_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_store.snapshots TO spreaview_worker;
GRANT SELECT, INSERT, DELETE ON event_store.sources TO spreaview_worker;
GRANT UPDATE (kept_at) ON event_store.sources TO spreaview_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_store.unpublished TO spreaview_worker;
GRANT USAGE ON SCHEMA projections TO spreaview_worker;
GRANT SELECT (number, schema) ON projections.generations TO spreaview_worker;

-- projector: `spreaview-sync projector`; `projections status`, `retry` and `repair`. It reads the
-- log and writes the rows of the read models.
GRANT SELECT ON event_store.events, event_store.streams, event_store.personal_data,
    event_store.erased_subjects TO spreaview_projector;
GRANT USAGE ON SCHEMA projections TO spreaview_projector;
GRANT SELECT ON projections.generations TO spreaview_projector;

-- reader: the web tier. It reads the public views.
GRANT USAGE ON SCHEMA spreaview TO spreaview_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA spreaview TO spreaview_reader;

-- auditor: `history`, `explain`, `diff`, `as-of`, `source`, `verify`, `export`, `reimport`, `status`,
-- `relay status` and `projections status`. It reads everything except the key of the fingerprints of API IDs.
GRANT SELECT ON event_store.events, event_store.streams, event_store.inbox,
    event_store.personal_data, event_store.sources, event_store.snapshots, event_store.checkpoints,
    event_store.unpublished, event_store.erased_subjects, event_store.erasures
    TO spreaview_auditor, spreaview_api;
GRANT SELECT (log_id, created_at) ON event_store.log TO spreaview_auditor, spreaview_api;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA event_store TO spreaview_auditor, spreaview_api;
GRANT USAGE ON SCHEMA projections, spreaview TO spreaview_auditor, spreaview_api;
GRANT SELECT ON ALL TABLES IN SCHEMA projections, spreaview TO spreaview_auditor, spreaview_api;

-- api: `spreaview-sync api`. It reads everything that an auditor reads, and the key of the
-- fingerprints, which shows whether a repeated request has the same API ID. It writes nothing.
GRANT SELECT (fingerprint_key) ON event_store.log TO spreaview_api;

-- The generations of the read models. `projections rebuild` gives a new generation the rights that
-- the live one has at that time.
DO $$
DECLARE
    generation text;
BEGIN
    FOR generation IN SELECT schema FROM projections.generations LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM spreaview_worker, '
                       'spreaview_projector, spreaview_reader, spreaview_auditor, '
                       'spreaview_api', generation);
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM spreaview_worker, spreaview_projector, '
                       'spreaview_reader, spreaview_auditor, spreaview_api', generation);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO spreaview_worker, spreaview_projector, '
                       'spreaview_auditor, spreaview_api', generation);
        EXECUTE format('GRANT SELECT (spreaview_event_id, organization_id, speaker_id), '
                       'UPDATE (first_name, last_name, full_name, tag_line, bio, '
                       'profile_picture, links, status) '
                       'ON %I.event_speakers TO spreaview_worker', generation);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I '
                       'TO spreaview_projector', generation);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO spreaview_auditor, '
                       'spreaview_api', generation);
    END LOOP;
END $$;

COMMIT;
