-- Housekeeping, in bounded batches.

-- overdue --
-- Threads that should be stepped and that nothing has rung for a while; marks them rung.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), late AS (
    SELECT t.thread_id FROM threads t, clock
     WHERE t.active_run_id IS NOT NULL
       AND (t.lease_until IS NULL OR t.lease_until <= clock.now)
       AND (t.wake_at IS NULL OR t.wake_at <= clock.now)
       AND greatest(t.updated_at, t.rung_at, t.wake_at, t.lease_until)
           < clock.now - make_interval(secs => %(grace)s)
     ORDER BY t.updated_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE threads t SET rung_at = clock.now FROM late, clock
 WHERE t.thread_id = late.thread_id
RETURNING t.thread_id, t.seq, t.owner;

-- expire_threads --
-- Delete idle threads past their TTL.
WITH late AS (
    SELECT thread_id FROM threads
     WHERE ttl_minutes IS NOT NULL AND ttl_strategy = 'delete' AND active_run_id IS NULL
       AND updated_at < coalesce(%(now)s::timestamptz, clock_timestamp())
                        - ttl_minutes * interval '1 minute'
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM threads t USING late WHERE t.thread_id = late.thread_id RETURNING t.thread_id;

-- stale_threads --
-- Idle threads past a keep_latest TTL that still have history.
SELECT t.thread_id FROM threads t
 WHERE t.ttl_minutes IS NOT NULL AND t.ttl_strategy = 'keep_latest' AND t.active_run_id IS NULL
   AND t.updated_at < coalesce(%(now)s::timestamptz, clock_timestamp())
                      - t.ttl_minutes * interval '1 minute'
   AND EXISTS (SELECT FROM checkpoints c
                WHERE c.thread_id = t.thread_id AND c.ns = '' AND c.checkpoint_id <> t.head)
 LIMIT %(limit)s;

-- prune_runs --
-- Delete runs that ended long ago.
WITH late AS (
    SELECT run_id FROM runs
     WHERE status NOT IN ('pending', 'running')
       AND updated_at < coalesce(%(now)s::timestamptz, clock_timestamp())
                        - make_interval(secs => %(older_than)s)
     ORDER BY updated_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM runs r USING late WHERE r.run_id = late.run_id RETURNING r.run_id;
