-- What inference by a language model needs: a mark by which the same statement is found again, answers that can be
-- given again under an Idempotency-Key, and what waits for the model while it is away.

-- Equal for texts that differ only in case, spacing and punctuation; null in rows from before this migration.
ALTER TABLE memory_versions ADD COLUMN fingerprint text;
CREATE INDEX memory_fingerprints ON memory_versions (project, fingerprint)
    WHERE recorded_to IS NULL AND fingerprint IS NOT NULL;

-- [{id, version, event, inference}], in the order of the answer. Null in rows from before: all were added, version 1.
ALTER TABLE idempotency ADD COLUMN outcomes jsonb;

-- What was stored verbatim because the model was away, and how it is to be inferred: with tenant content, walled.
CREATE TABLE inference_requests (
    project    text NOT NULL,
    id         uuid NOT NULL,
    memory_ids uuid[] NOT NULL, -- in the order of the messages
    request    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, id)
);
SELECT wall('inference_requests');

-- The queue of those: no tenant content, served across projects, no row security. Within one scope in the order of
-- seq, because a later statement may supersede an earlier one.
CREATE TABLE inferences (
    project      text NOT NULL,
    id           uuid NOT NULL,
    seq          bigint GENERATED ALWAYS AS IDENTITY,
    scope        bigint NOT NULL, -- a hash of the scope
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'parked')),
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    lease        uuid,
    leased_until timestamptz,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, id)
);
CREATE INDEX inferences_due ON inferences (due_at) WHERE state = 'pending';
CREATE INDEX inferences_scope ON inferences (project, scope, seq) WHERE state = 'pending';
