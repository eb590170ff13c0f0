-- What is said to be recorded in the future is looked for by every erasure. In the order of writing, as rows mostly lie, a
-- block range says so for next to nothing.
CREATE INDEX memory_recorded ON memory_versions USING brin (recorded_from);
