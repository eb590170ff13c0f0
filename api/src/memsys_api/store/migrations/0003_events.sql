-- Webhooks, the change stream, and adds that are answered before they are carried out.

-- Whom a project's admin wants told of which changes. A webhook sees no more than the key that registered it does:
-- the ids narrow it as they narrow a search.
CREATE TABLE webhooks (
    project     text NOT NULL,
    id          uuid NOT NULL,
    url         text NOT NULL,
    description text NOT NULL DEFAULT '',
    events      text[] NOT NULL CHECK (cardinality(events) > 0 AND events <@ ARRAY['added', 'updated', 'deleted']),
    include     text[] NOT NULL DEFAULT '{}' CHECK (include <@ ARRAY['memory']),
    user_id     text,
    agent_id    text,
    app_id      text,
    run_id      text,
    secret      text NOT NULL, -- to sign with, so not hashed; sealed where there is a key to seal with
    active      boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, id)
);
SELECT wall('webhooks');

-- One row per event and webhook, written with the event: an event sink takes every event, not the newest. Kept for a
-- while after delivery, to be listed and replayed. Ids alone, served across projects: no row security.
CREATE TABLE webhook_deliveries (
    project      text NOT NULL,
    webhook_id   uuid NOT NULL,
    event_id     bigint NOT NULL, -- outbox.id
    event        text NOT NULL,
    memory_id    uuid NOT NULL,
    version      integer NOT NULL,
    occurred_at  timestamptz NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'parked', 'delivered')),
    cause        text CHECK (cause IN ('away', 'refused', 'paused')), -- of the last failure
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    lease        uuid,
    leased_until timestamptz,
    status       integer, -- what the endpoint last answered
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (project, webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (project, webhook_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (project, webhook_id, memory_id, version)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_parked ON webhook_deliveries (project, webhook_id) WHERE state = 'parked';
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);

-- The newest event that retention has taken from a project's outbox: a reader that has not seen it has missed some.
CREATE TABLE outbox_horizons (
    project text PRIMARY KEY,
    xid     xid8 NOT NULL,
    id      bigint NOT NULL
);
SELECT wall('outbox_horizons');
CREATE INDEX outbox_order ON outbox (project, xid, id);

-- Adds that were answered before they were carried out. What is still to be done waits in inferences, under the same
-- id; here is who may ask, and what has become of it: ids alone, the texts are read from the versions.
CREATE TABLE add_events (
    project     text NOT NULL,
    id          uuid NOT NULL,
    user_id     text,
    agent_id    text,
    app_id      text,
    run_id      text,
    outcomes    jsonb NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (project, id)
);
SELECT wall('add_events');
CREATE INDEX add_events_age ON add_events (created_at);

-- What a request with an Idempotency-Key is followed by, where it was not carried out at once.
ALTER TABLE idempotency ADD COLUMN event_ids uuid[];
