-- When a thread at rest is past its TTL: the sweep reads those that are due and no others. Null
-- while a run is at it, so that no step has to write to the index. Adding the column rewrites the
-- table, one small row for each thread.
ALTER TABLE threads ADD COLUMN expires_at timestamptz GENERATED ALWAYS AS (
    CASE WHEN ttl_strategy = 'delete' AND active_run_id IS NULL
         THEN (updated_at AT TIME ZONE 'UTC' + least(ttl_minutes, 5270400) * interval '1 minute')
              AT TIME ZONE 'UTC'  -- ten years at most: an earlier version knew no bound
    END) STORED;

CREATE INDEX threads_expire ON threads (expires_at) WHERE expires_at IS NOT NULL;
DROP INDEX threads_ttl;
