-- The whole data model. Every tenant table leads its primary key with the project, so that it can be
-- partitioned by project later, and stands behind row-level security at the end of this file.
-- Foreign keys are left out on purpose: see docs/decisions/0011-no-foreign-keys.md.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE projects (
    name       text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One row per embedding model ever used. Each generation keeps its vectors in a table of its own,
-- embeddings_<id>, made by create_embeddings() below with the dimensions as part of the column's type.
CREATE TABLE generations (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider     text NOT NULL,
    model        text NOT NULL,
    dimensions   integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16000),
    precision    text NOT NULL CHECK (precision IN ('halfvec', 'float32')),
    state        text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at   timestamptz
);
CREATE UNIQUE INDEX generations_one_active ON generations ((true)) WHERE state = 'active';

-- Creation order of memories; kept by all versions of one. Gaps are normal.
CREATE SEQUENCE memory_seq;

-- Every version of every memory. The head is the version whose recorded_to is null. A deleted memory's head
-- is a tombstone (state 'deleted', no text). recorded_from/to is when the system knew it; event_time is when
-- it happened.
CREATE TABLE memory_versions (
    project       text NOT NULL,
    id            uuid NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    state         text NOT NULL CHECK (state IN ('active', 'deleted')),
    user_id       text,
    agent_id      text,
    app_id        text,
    run_id        text,
    seq           bigint NOT NULL,
    thread        text, -- what was said together: the run within its whole scope, else one request's messages
    turn          bigint, -- consecutive within the thread, so that neighbours can be asked for; kept by updates
    text          text NOT NULL,
    hash          text NOT NULL, -- sha256 of the text, hexadecimal
    role          text,
    speaker       text,
    metadata      jsonb NOT NULL DEFAULT '{}',
    provenance    jsonb NOT NULL DEFAULT '{}',
    event_time    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    recorded_from timestamptz NOT NULL,
    recorded_to   timestamptz,
    expires_at    timestamptz,
    lexemes       tsvector NOT NULL, -- of speaker and text
    PRIMARY KEY (project, id, version)
);
CREATE UNIQUE INDEX memory_heads ON memory_versions (project, id) WHERE recorded_to IS NULL;
CREATE INDEX memory_project ON memory_versions (project, seq);
CREATE INDEX memory_user ON memory_versions (project, user_id, seq) WHERE user_id IS NOT NULL;
CREATE INDEX memory_agent ON memory_versions (project, agent_id, seq) WHERE agent_id IS NOT NULL;
CREATE INDEX memory_app ON memory_versions (project, app_id, seq) WHERE app_id IS NOT NULL;
CREATE INDEX memory_run ON memory_versions (project, run_id, seq) WHERE run_id IS NOT NULL;
CREATE INDEX memory_thread ON memory_versions (project, thread, turn) WHERE thread IS NOT NULL;
CREATE INDEX memory_lexemes ON memory_versions USING gin (lexemes) WHERE recorded_to IS NULL;
CREATE INDEX memory_metadata ON memory_versions USING gin (metadata jsonb_path_ops) WHERE recorded_to IS NULL;
CREATE INDEX memory_expiry ON memory_versions (expires_at) WHERE recorded_to IS NULL AND expires_at IS NOT NULL;

CREATE TABLE entities (
    project    text NOT NULL,
    key        text NOT NULL, -- the normalised name
    name       text NOT NULL,
    kind       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, key)
);

CREATE TABLE mentions (
    project    text NOT NULL,
    memory_id  uuid NOT NULL,
    version    integer NOT NULL,
    entity_key text NOT NULL,
    PRIMARY KEY (project, memory_id, version, entity_key)
);
CREATE INDEX mentions_entity ON mentions (project, entity_key);

-- What a memory states between two entities. valid_* is when it holds in the world, recorded_* when the
-- system held it; ended, never deleted.
CREATE TABLE relations (
    project       text NOT NULL,
    memory_id     uuid NOT NULL,
    version       integer NOT NULL,
    ordinal       integer NOT NULL,
    subject_key   text NOT NULL,
    predicate     text NOT NULL,
    object_key    text NOT NULL,
    valid_from    timestamptz,
    valid_to      timestamptz,
    recorded_from timestamptz NOT NULL,
    recorded_to   timestamptz,
    PRIMARY KEY (project, memory_id, version, ordinal)
);
CREATE INDEX relations_subject ON relations (project, subject_key);
CREATE INDEX relations_object ON relations (project, object_key);

-- Two names found to be one entity. Reversible: reverted_at ends a merge, nothing is rewritten.
CREATE TABLE merges (
    project     text NOT NULL,
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    source_key  text NOT NULL,
    target_key  text NOT NULL,
    reason      text NOT NULL,
    merged_at   timestamptz NOT NULL DEFAULT now(),
    reverted_at timestamptz,
    PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX merges_standing ON merges (project, source_key) WHERE reverted_at IS NULL;

-- One row per change, for sinks that want every event (webhooks, the change stream). A reader advances by
-- transaction snapshot (xid), never by id alone: ids commit out of order.
CREATE TABLE outbox (
    project     text NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event       text NOT NULL CHECK (event IN ('added', 'updated', 'deleted')),
    memory_id   uuid NOT NULL,
    version     integer NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, id)
);
CREATE INDEX outbox_age ON outbox (occurred_at);

-- What a state sink still has to apply: at most one row per memory, the newest version. Applied rows are
-- removed. No tenant content stands here, and the dispatcher serves all projects at once: no row security.
CREATE TABLE deliveries (
    project      text NOT NULL,
    sink         text NOT NULL,
    memory_id    uuid NOT NULL,
    version      integer NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'parked')),
    cause        text CHECK (cause IN ('away', 'record')), -- of the last failure: the sink was away, or this record
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    lease        uuid,
    leased_until timestamptz,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, sink, memory_id)
);
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_parked ON deliveries (sink, cause) WHERE state = 'parked';

-- What an Idempotency-Key was answered with. Ids alone: the text is read from the versions again.
CREATE TABLE idempotency (
    project      text NOT NULL,
    key          text NOT NULL,
    request_hash text NOT NULL,
    memory_ids   uuid[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- API keys. A key is looked up before any project is known: no row security; the secret is stored hashed.
CREATE TABLE keys (
    id              text PRIMARY KEY,
    secret_hash     text NOT NULL, -- sha256, hexadecimal, of a random 190-bit secret
    name            text NOT NULL,
    projects        text[] NOT NULL CHECK (cardinality(projects) > 0),
    default_project text NOT NULL,
    user_id         text,
    agent_id        text,
    rights          text[] NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    CHECK (default_project = ANY (projects))
);

-- Who did what, without memory text. The app's role may only append and read.
CREATE TABLE audit (
    project    text NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text,
    request_id text,
    detail     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (project, id)
);

-- The second wall; the first is the explicit project in every statement. memsys.project is set by
-- set_config(…, true) in each transaction; unset, it lets no row through. FORCE, so that it holds where the
-- tables' owner is the only role there is.
CREATE FUNCTION wall(tenant_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format($policy$
        CREATE POLICY project_wall ON %s
        USING (project = current_setting('memsys.project', true))
        WITH CHECK (project = current_setting('memsys.project', true))
    $policy$, tenant_table);
END
$$;

SELECT wall(t) FROM unnest(ARRAY[
    'memory_versions', 'entities', 'mentions', 'relations', 'merges', 'outbox', 'idempotency', 'audit'
]::regclass[]) AS t;

-- Makes embeddings_<id> for a generation. The scope is repeated beside the vector so that a scan, exact or
-- approximate, needs no join; a version's scope never changes, and head and its recorded_to change together.
CREATE FUNCTION create_embeddings(generation integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := format('embeddings_%s', generation);
    kind text;
    row_bytes integer;
BEGIN
    SELECT format(CASE g.precision WHEN 'halfvec' THEN 'halfvec(%s)' ELSE 'vector(%s)' END, g.dimensions),
           g.dimensions * CASE g.precision WHEN 'halfvec' THEN 2 ELSE 4 END
      INTO STRICT kind, row_bytes
      FROM generations g WHERE g.id = generation;
    EXECUTE format($table$
        CREATE TABLE %1$I (
            project    text NOT NULL,
            memory_id  uuid NOT NULL,
            version    integer NOT NULL,
            user_id    text,
            agent_id   text,
            app_id     text,
            run_id     text,
            expires_at timestamptz,
            head       boolean NOT NULL,
            embedding  %2$s NOT NULL,
            PRIMARY KEY (project, memory_id, version)
        )
    $table$, name, kind);
    -- In the row itself while it fits a page: an exact scan must not fetch each vector out of line.
    EXECUTE format('ALTER TABLE %I ALTER COLUMN embedding SET STORAGE %s',
                   name, CASE WHEN row_bytes <= 6000 THEN 'PLAIN' ELSE 'EXTERNAL' END);
    EXECUTE format('CREATE INDEX ON %I (project, user_id) WHERE head AND user_id IS NOT NULL', name);
    EXECUTE format('CREATE INDEX ON %I (project, agent_id) WHERE head AND agent_id IS NOT NULL', name);
    EXECUTE format('CREATE INDEX ON %I (project, app_id) WHERE head AND app_id IS NOT NULL', name);
    EXECUTE format('CREATE INDEX ON %I (project, run_id) WHERE head AND run_id IS NOT NULL', name);
    PERFORM wall(name::regclass);
END
$$;
