-- An entity that was renamed, or found to be of a more specific kind, is shown by whatever memories speak of it: they are
-- due again. Not all of them can be seen by the write that renames it, so it leaves a mark for the next delivery.
ALTER TABLE entities ADD COLUMN renamed boolean NOT NULL DEFAULT false;
CREATE INDEX entities_renamed ON entities (project) WHERE renamed;
