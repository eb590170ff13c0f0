-- Whose a deleted memory was, noted with the event of its deletion: whoever follows the changes of one user is told to
-- drop a copy also when an erasure has taken every other row that says whose it was. Null with all other events.
ALTER TABLE outbox ADD COLUMN user_id text, ADD COLUMN agent_id text, ADD COLUMN app_id text, ADD COLUMN run_id text;
