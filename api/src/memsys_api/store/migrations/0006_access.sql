-- What a project's writes are held to, keys that can be rotated and declared, rate limits and the language model's use.

-- One document per project: how suspect writes are treated, and its limits. Absent: the server's defaults.
CREATE TABLE policies (
    project    text PRIMARY KEY,
    policy     jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);
SELECT wall('policies');

-- A key has any number of secrets at a time, so that one can be replaced without a gap; none where a Kubernetes
-- ServiceAccount's token stands in its place. [{sha256, expires_at}], hexadecimal of random 190-bit secrets.
ALTER TABLE keys ADD COLUMN secrets jsonb;
UPDATE keys SET secrets = jsonb_build_array(jsonb_build_object('sha256', secret_hash, 'expires_at', NULL));
ALTER TABLE keys ALTER COLUMN secrets SET NOT NULL;
ALTER TABLE keys DROP COLUMN secret_hash;
ALTER TABLE keys ADD COLUMN subject text; -- system:serviceaccount:<namespace>:<name>
ALTER TABLE keys ADD COLUMN app_id text;
ALTER TABLE keys ADD COLUMN run_id text;
ALTER TABLE keys ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0);
CREATE UNIQUE INDEX keys_subject ON keys (subject) WHERE revoked_at IS NULL;

-- How much each rate-limited caller may still ask: a token bucket, leased out in batches to the replicas. Lost in a
-- crash, which fills the buckets. Read and written across projects: no tenant content, no row security.
CREATE UNLOGGED TABLE rate_buckets (
    bucket    text PRIMARY KEY,
    tokens    double precision NOT NULL,
    filled_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What the language model has cost each project on each day, UTC.
CREATE TABLE llm_usage (
    project text NOT NULL,
    day     date NOT NULL,
    tokens  bigint NOT NULL,
    calls   bigint NOT NULL,
    PRIMARY KEY (project, day)
);
SELECT wall('llm_usage');
