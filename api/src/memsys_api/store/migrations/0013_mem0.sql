-- What people say of memories, and exports that the language model gives the shape its caller asked for.

-- One judgement of each memory, the newest.
CREATE TABLE feedback (
    project   text NOT NULL,
    memory_id uuid NOT NULL,
    version   integer NOT NULL, -- that was judged
    verdict   text NOT NULL CHECK (verdict IN ('POSITIVE', 'NEGATIVE', 'VERY_NEGATIVE')),
    reason    text,
    actor     text NOT NULL, -- the key that gave it
    given_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, memory_id)
);
SELECT wall('feedback');

-- An export, from its request to its result. It waits while it has a job, and has failed where neither a job nor a
-- result is left.
CREATE TABLE shaped_exports (
    project     text NOT NULL,
    id          uuid NOT NULL,
    user_id     text,
    agent_id    text,
    app_id      text,
    run_id      text,
    asked       text NOT NULL, -- sha256, hexadecimal, of what it is of: by this the newest of them is found again
    request     jsonb NOT NULL, -- {"schema", "instructions", "filters"}
    actor       text NOT NULL,
    memory_ids  uuid[] NOT NULL DEFAULT '{}', -- what the model was shown
    result      jsonb,
    error       text, -- why it has failed
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (project, id)
);
CREATE INDEX shaped_exports_asked ON shaped_exports (project, asked, created_at);
CREATE INDEX shaped_exports_age ON shaped_exports (project, created_at);
SELECT wall('shaped_exports');

-- What waits for the language model to shape it. No tenant content, and worked off across projects: no row security.
CREATE TABLE shaping_jobs (
    project      text NOT NULL,
    id           uuid NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    lease        uuid,
    leased_until timestamptz,
    error        text, -- why it still waits, in the product's own words
    PRIMARY KEY (project, id)
);
CREATE INDEX shaping_jobs_due ON shaping_jobs (due_at);
