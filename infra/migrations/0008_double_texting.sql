-- What undoing a run needs to know.

-- The status that the thread goes back to if its active run is ended before it came anywhere.
ALTER TABLE threads ADD COLUMN rests_as text;

-- Who wrote a pending write, and what it replaced: a run that answers an earlier run's question
-- writes beside that run's checkpoint.
ALTER TABLE writes ADD COLUMN run_id text;
ALTER TABLE writes ADD COLUMN was_kind text;
ALTER TABLE writes ADD COLUMN was_data bytea;
