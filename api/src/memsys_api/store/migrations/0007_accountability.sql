-- Who changed what, recorded by the tables themselves; forgetting that leaves nothing behind; writes held for review.

-- Found by whom and of what, and forgotten by age.
CREATE INDEX audit_actor ON audit (project, actor, id);
CREATE INDEX audit_target ON audit (project, target, id) WHERE target IS NOT NULL;
CREATE INDEX audit_age ON audit (project, at);

-- Who acts: set in each transaction beside the project. A change made past the API names the role that made it.
CREATE FUNCTION acting() RETURNS text LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('memsys.actor', true), ''), 'role:' || session_user);

CREATE FUNCTION acting_in() RETURNS text LANGUAGE sql STABLE
RETURN nullif(current_setting('memsys.request_id', true), '');

-- Every change of a memory leaves a row in outbox, so this sees all of them: one audit row for what one statement did.
CREATE FUNCTION audit_memories() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (project, actor, action, target, request_id, detail)
    SELECT project, acting(), 'memory.' || event, CASE WHEN count(*) = 1 THEN min(memory_id::text) END, acting_in(),
           jsonb_build_object('count', count(*), 'memory_ids', to_jsonb((array_agg(memory_id ORDER BY id))[1:100]))
    FROM changed GROUP BY project, event;
    RETURN NULL;
END
$$;
CREATE TRIGGER audited AFTER INSERT ON outbox
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION audit_memories();

-- For tables of few rows. Arguments: what a row is called, the column with the project that the change is of, the column
-- that identifies the row. Nothing else of the row is recorded.
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    changed jsonb := coalesce(after, before);
    wall text := coalesce(current_setting('memsys.project', true), '');
    verb text := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'DELETE' THEN 'deleted' ELSE 'updated' END;
BEGIN
    IF before = after THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND before ->> 'revoked_at' IS NULL AND after ->> 'revoked_at' IS NOT NULL THEN
        verb := 'revoked';
    END IF;
    PERFORM set_config('memsys.project', changed ->> TG_ARGV[1], true);
    INSERT INTO audit (project, actor, action, target, request_id)
    VALUES (changed ->> TG_ARGV[1], acting(), TG_ARGV[0] || '.' || verb, changed ->> TG_ARGV[2], acting_in());
    PERFORM set_config('memsys.project', wall, true);
    RETURN NULL;
END
$$;

-- What is to be forgotten, and how far that has got. Ids alone, so that it can be kept and exported as a ledger and be
-- replayed after a restore. Worked off across projects: no row security.
CREATE TABLE erasures (
    project         text NOT NULL,
    id              uuid NOT NULL,
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    scope           jsonb NOT NULL, -- {"user_id": …, …} | {"memory_ids": […]} | {"everything": true}
    recorded_before timestamptz, -- of a replay: what was recorded later stays
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    step            text NOT NULL,
    waits_for       text,
    removed         jsonb NOT NULL DEFAULT '{}', -- {"postgres": {"memory_versions": 3, …}, …}
    receipt         jsonb,
    requested_by    text NOT NULL,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    mark            timestamptz, -- nothing of the scope that was recorded up to then is left
    finished_at     timestamptz,
    due_at          timestamptz NOT NULL DEFAULT now(),
    lease           uuid,
    leased_until    timestamptz,
    PRIMARY KEY (project, id)
);
CREATE INDEX erasures_due ON erasures (due_at) WHERE state = 'running';
CREATE INDEX erasures_seq ON erasures (seq);

-- The memories that an erasure under way has taken, and the versions of their tombstones: what sinks are told and asked.
CREATE TABLE erased (
    project    text NOT NULL,
    erasure_id uuid NOT NULL,
    memory_id  uuid NOT NULL,
    version    integer NOT NULL,
    PRIMARY KEY (project, erasure_id, memory_id)
);
SELECT wall('erased');

-- Writes that wait for somebody to look at them: what was to be written, until it is decided on.
CREATE TABLE held (
    project    text NOT NULL,
    id         uuid NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    user_id    text,
    agent_id   text,
    app_id     text,
    run_id     text,
    memory_id  uuid, -- that an update was of; null: an add
    state      text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'released', 'rejected')),
    findings   jsonb NOT NULL, -- [{"kind", "field", "start", "end"}], never what was found
    request    jsonb CHECK (state = 'held' OR request IS NULL),
    actor      text NOT NULL, -- who wrote it
    held_at    timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by text,
    memory_ids uuid[] NOT NULL DEFAULT '{}', -- what came of a release
    PRIMARY KEY (project, id)
);
CREATE INDEX held_waiting ON held (project, seq) WHERE state = 'held';
SELECT wall('held');
