-- How far an external vector index has been filled from the memories there were when it was chosen. Walks the projects
-- by name and each one's memories by id. No tenant content stands here, and one fill serves all projects: no row
-- security. A sink that is not in use has no row: what it was fed is out of date by the time it is chosen again.
CREATE TABLE fills (
    sink       text PRIMARY KEY,
    target     text NOT NULL, -- which index, without secrets; another one is filled from the beginning
    since      timestamptz, -- null: all memories; else those changed from then on
    at_project text NOT NULL DEFAULT '',
    at_memory  uuid, -- the last one queued; null: none of the project yet
    due_at     timestamptz NOT NULL DEFAULT now(),
    begun_at   timestamptz NOT NULL DEFAULT now(),
    filled_at  timestamptz, -- when all memories had been queued once
    settled_at timestamptz -- when those had been queued again that changed meanwhile
);
