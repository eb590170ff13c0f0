-- Run by the superuser before every start; each statement may find its work done already.
-- Passwords come from the environment and must not reach the server's log, not even with a failed statement.
\getenv superuser_password MEMSYS_SUPERUSER_PASSWORD
\getenv owner_password MEMSYS_OWNER_PASSWORD
\getenv app_password MEMSYS_APP_PASSWORD
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET client_min_messages = 'warning';

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['memsys_owner', 'memsys_app']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- The owner runs migrations; the application obeys row-level security and owns nothing.
ALTER ROLE postgres PASSWORD :'superuser_password';
ALTER ROLE memsys_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION PASSWORD :'owner_password';
ALTER ROLE memsys_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION PASSWORD :'app_password';

SELECT 'CREATE DATABASE memsys OWNER memsys_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'memsys')
\gexec

REVOKE ALL ON DATABASE memsys FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE memsys TO memsys_app;

\connect memsys
SET client_min_messages = 'warning';
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
ALTER EXTENSION vector UPDATE;
ALTER EXTENSION pg_trgm UPDATE;

-- Neither reveals its arguments, so row-level security may let an index evaluate it. pg_dump does not carry the mark.
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF;
