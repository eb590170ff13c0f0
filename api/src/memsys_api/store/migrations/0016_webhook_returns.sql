-- Webhooks that are there again: what was parked while they were away, or paused, is to be made due again. Noted with the
-- answer that told so and worked off a batch at a time: after a long outage there is more than one statement has time for.
-- Ids alone, served across projects: no row security.
CREATE TABLE webhook_returns (
    project    text NOT NULL,
    webhook_id uuid NOT NULL,
    cause      text NOT NULL CHECK (cause IN ('away', 'paused')),
    noted_at   timestamptz NOT NULL DEFAULT now(), -- what is parked later is not meant
    PRIMARY KEY (project, webhook_id, cause)
);

-- Found by its cause, and in the order of the events.
DROP INDEX webhook_deliveries_parked;
CREATE INDEX webhook_deliveries_parked ON webhook_deliveries (project, webhook_id, cause, event_id)
    WHERE state = 'parked';
