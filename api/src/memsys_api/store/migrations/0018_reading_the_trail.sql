-- What lists a memory among others, and what a key did on behalf of others, are found in the audit trail by an index each.

-- The ids that a line of several memories lists. Of the whole detail, as row-level security serves no `->` from an index.
CREATE INDEX audit_listed ON audit USING gin (detail jsonb_path_ops) WHERE target IS NULL;
-- By how an actor's name begins, which only the order of "C" answers in every language that a database may sort in.
CREATE INDEX audit_delegated ON audit (project, actor COLLATE "C", id) WHERE strpos(actor, ' for ') > 0;
