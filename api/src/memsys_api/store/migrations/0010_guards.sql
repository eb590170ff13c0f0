-- Held writes of every kind, adds whose event waits for a review, and which entities an erasure concerns.

-- What a held write is released as. An import's line is kept as it came; of what a language model made of clean
-- messages, its facts are kept beside these, for whoever reviews it.
ALTER TABLE held ADD COLUMN kind text CHECK (kind IN ('add', 'update', 'import'));
ALTER TABLE held NO FORCE ROW LEVEL SECURITY; -- the owner's own statement, across projects
UPDATE held SET kind = CASE WHEN memory_id IS NULL THEN 'add' ELSE 'update' END;
ALTER TABLE held FORCE ROW LEVEL SECURITY;
ALTER TABLE held ALTER COLUMN kind SET NOT NULL;
ALTER TABLE held ADD COLUMN facts jsonb CHECK (state = 'held' OR facts IS NULL);
-- Messages of a held add that had been stored as they were said: they are buried, and erased together with it.
ALTER TABLE held ADD COLUMN source_ids uuid[] NOT NULL DEFAULT '{}';

-- How many writes wait for review in all projects, each behind its own wall.
CREATE FUNCTION held_everywhere() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    wall text := coalesce(current_setting('memsys.project', true), '');
    found bigint := 0;
    name text;
BEGIN
    FOR name IN SELECT p.name FROM projects p LOOP
        PERFORM set_config('memsys.project', name, true);
        found := found + (SELECT count(*) FROM held h WHERE h.project = name AND h.state = 'held');
    END LOOP;
    PERFORM set_config('memsys.project', wall, true);
    RETURN found;
END
$$;

-- An add that is held, or whose facts the policy refused: kinds of findings, never what was found.
ALTER TABLE add_events ADD COLUMN review_id uuid;
ALTER TABLE add_events ADD COLUMN error text;
CREATE INDEX add_events_review ON add_events (project, review_id) WHERE review_id IS NOT NULL;

-- What an erasure under way has taken speaks of these: SHA-256 of their keys, because the row outlives the memory.
ALTER TABLE erased ADD COLUMN entities bytea[] NOT NULL DEFAULT '{}';
-- Memories of others whose entities have other names in a sink since the erasure took a name they had been merged into.
ALTER TABLE erasures ADD COLUMN renamed uuid[] NOT NULL DEFAULT '{}';
