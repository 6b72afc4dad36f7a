-- The public views are read-only for everybody, their owner included: PostgreSQL would apply a
-- change of a simple view to its table, where no projection would ever find it again.
-- CREATE OR REPLACE VIEW keeps the triggers, so a switch of generations need not make them again.

CREATE OR REPLACE FUNCTION projections.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: the read models are read-only',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'They are made from the log: spreaview-sync projections repair EVENT';
END $$;

CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.sync_runs
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.rooms
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.event_speakers
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.speakers
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.sessions
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.session_speakers
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.skipped_sessions
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.erasures
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON spreaview.stream_progress
    FOR EACH ROW EXECUTE FUNCTION projections.refuse_change();
