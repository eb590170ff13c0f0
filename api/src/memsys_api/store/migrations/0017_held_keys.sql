-- Writes that are held for review, found by the Idempotency-Key that they came under.

-- The reviews of what was held of a request: one, or of a batch some; null with every other.
ALTER TABLE idempotency ADD COLUMN review_ids uuid[];
-- What came of a release, as idempotency has it: ids and versions alone. Null until then, and with what an earlier release
-- of the API has let go.
ALTER TABLE held ADD COLUMN outcomes jsonb;
