-- What the graph needs to be rebuilt, compared and resolved: names that have an order, deliveries that can be asked for
-- again, who merged entities and why, and the state of a rebuild.

-- A memory is delivered again at the same version when what it resolves to has changed; whoever applies it at that
-- moment may have read the state before, and must not settle the newer demand with it.
ALTER TABLE deliveries ADD COLUMN revision integer NOT NULL DEFAULT 0;

-- A name that was found later is a greater one: the graph takes no older name for a newer.
CREATE SEQUENCE entity_revisions;
ALTER TABLE entities ADD COLUMN revision bigint NOT NULL DEFAULT nextval('entity_revisions');

ALTER TABLE merges ADD COLUMN actor text NOT NULL DEFAULT 'admin'; -- the key that asked for it
CREATE INDEX merges_target ON merges (project, target_key) WHERE reverted_at IS NULL;

-- A project's graph being built anew, a leased step at a time; the last run stays to be read. No tenant content.
CREATE TABLE rebuilds (
    project      text NOT NULL,
    sink         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('applying', 'sweeping', 'draining', 'done')),
    after        uuid, -- all memories up to this one are queued
    queued       bigint NOT NULL DEFAULT 0,
    removed      bigint NOT NULL DEFAULT 0, -- memories that only the graph held, and what no memory supported
    error        text, -- why the last step has to be tried again
    lease        uuid,
    leased_until timestamptz,
    requested_at timestamptz NOT NULL DEFAULT now(),
    swept_at     timestamptz, -- done when nothing that was queued until then is left
    finished_at  timestamptz,
    PRIMARY KEY (project, sink)
);
CREATE INDEX rebuilds_unfinished ON rebuilds (sink, requested_at) WHERE state <> 'done';
