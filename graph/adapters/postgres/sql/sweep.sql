-- Housekeeping, in bounded batches.

-- part silent --
-- A thread `t` that should be stepped and that nothing has rung for a while.
t.active_run_id IS NOT NULL
       AND (t.lease_until IS NULL OR t.lease_until <= clock.now)
       AND (t.wake_at IS NULL OR t.wake_at <= clock.now)
       AND greatest(t.updated_at, t.rung_at, t.wake_at, t.lease_until)
           < clock.now - make_interval(secs => %(grace)s)

-- part expired --
-- A thread `t` at rest past its TTL.
t.expires_at < (SELECT now FROM clock)

-- part ended_long_ago --
-- A run `r` that ended long ago.
r.status NOT IN ('pending', 'running')
       AND r.updated_at < clock.now - make_interval(secs => %(older_than)s)

-- overdue --
-- Threads that should be stepped and that nothing has rung for a while; marks them rung.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), late AS (
    SELECT t.thread_id FROM threads t, clock
     WHERE {silent}
     ORDER BY t.updated_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE threads t SET rung_at = clock.now FROM late, clock
 WHERE t.thread_id = late.thread_id
RETURNING t.thread_id, t.seq, t.owner;

-- expire_threads --
-- Delete idle threads past their TTL, those that are so for longest first.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), late AS (
    SELECT t.thread_id FROM threads t
     WHERE {expired}
     ORDER BY t.expires_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM threads t USING late WHERE t.thread_id = late.thread_id RETURNING t.thread_id;

-- worn_threads --
-- The next threads at rest that may have more history than they keep, on a walk through all of
-- them: each with what it keeps. Moves the walk on; one at a time walks.
WITH walk AS (
    SELECT place FROM walks WHERE name = 'retention' FOR UPDATE SKIP LOCKED
), passed AS (
    SELECT t.* FROM threads t
     WHERE t.thread_id > (SELECT place FROM walk)
     ORDER BY t.thread_id
     LIMIT %(window)s
), judged AS (
    SELECT p.thread_id, p.head, p.thinned,
           CASE WHEN p.ttl_strategy = 'keep_latest' AND p.updated_at < clock.now - p.ttl_minutes * interval '1 minute'
                THEN 'latest'
                WHEN a.metadata ->> 'retention' ~ %(valid)s THEN a.metadata ->> 'retention'
                ELSE %(keep)s END AS keep
      FROM (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now) clock
      CROSS JOIN passed p
      LEFT JOIN assistants a ON a.owner = p.owner AND a.assistant_id = p.metadata ->> 'assistant_id'
     WHERE p.active_run_id IS NULL AND p.head IS NOT NULL
       AND (p.lease_until IS NULL OR p.lease_until <= clock.now)
), worn AS (
    SELECT thread_id, keep FROM judged
     WHERE keep <> 'all' AND thinned IS DISTINCT FROM keep || '@' || head
     ORDER BY thread_id
     LIMIT %(limit)s
), moved AS (
    UPDATE walks
       SET place = CASE WHEN (SELECT count(*) FROM worn) = %(limit)s
                        THEN (SELECT max(thread_id) FROM worn)
                        WHEN (SELECT count(*) FROM passed) = %(window)s
                        THEN (SELECT max(thread_id) FROM passed)
                        ELSE '' END
     WHERE name = 'retention' AND EXISTS (SELECT FROM walk)
)
SELECT thread_id, keep FROM worn ORDER BY thread_id;

-- thin --
-- Drop checkpoints that threads at rest do not keep, newest first, and what only they refer to.
-- The fence tells who accepts a run or an edit that they start from. A thread that moves in this
-- moment is left alone: what is seen of it is old.
WITH RECURSIVE clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), mine AS (
    SELECT t.thread_id, t.head, asked.keep
      FROM unnest(%(thread_ids)s::text[], %(keeps)s::text[]) AS asked (thread_id, keep)
      JOIN threads seen ON seen.thread_id = asked.thread_id
      JOIN threads t ON t.thread_id = seen.thread_id AND t.xmin = seen.xmin
     WHERE t.active_run_id IS NULL
       AND (t.lease_until IS NULL OR t.lease_until <= clock_timestamp())
       FOR UPDATE OF t SKIP LOCKED
), placed AS (
    SELECT c.thread_id, c.ns, c.checkpoint_id, c.parent_id, c.lists, c.blob_ids, mine.keep,
           c.metadata ->> 'run_id' AS run_id, c.metadata ->> 'source' AS source,
           c.metadata -> 'parents' ->> '' AS root,
           c.metadata ? 'counters_since_delta_snapshot' AS delta,
           row_number() OVER (
               PARTITION BY c.thread_id
               ORDER BY (c.ns = '' AND c.checkpoint_id = mine.head) DESC, c.written DESC,
                        c.place DESC, c.checkpoint_id DESC) AS age
      FROM mine JOIN checkpoints c USING (thread_id)
), roots AS (
    SELECT *, row_number() OVER (
                  PARTITION BY thread_id,
                               CASE WHEN keep = 'run' THEN coalesce(run_id, checkpoint_id) END
                  ORDER BY age)
              <= CASE WHEN keep IN ('run', 'latest') THEN 1 ELSE keep::int END AS stays
      FROM placed WHERE ns = ''
), recent AS (
    SELECT r.thread_id, r.head FROM clock, mine JOIN runs r USING (thread_id)
     WHERE r.ended_at > clock.now - make_interval(secs => %(recent)s)
), wanted (thread_id, root) AS (
    SELECT thread_id, checkpoint_id FROM roots WHERE stays
    UNION
    SELECT thread_id, parent_id FROM roots
     WHERE stays AND source IN ('update', 'fork') AND keep <> 'latest'
    UNION
    SELECT thread_id, r.kwargs ->> 'checkpoint_id' FROM mine JOIN runs r USING (thread_id)
     WHERE keep <> 'latest'
    UNION
    SELECT thread_id, recent.head FROM mine JOIN recent USING (thread_id) WHERE keep <> 'latest'
), nested AS (
    SELECT *, row_number() OVER (PARTITION BY thread_id, ns, root ORDER BY age) AS of_root,
           row_number() OVER (PARTITION BY thread_id, ns ORDER BY age) AS of_ns
      FROM placed WHERE ns <> ''
), needed AS (
    SELECT thread_id, ns, checkpoint_id, parent_id, delta FROM roots
     WHERE (thread_id, checkpoint_id) IN (SELECT thread_id, root FROM wanted)
    UNION
    SELECT thread_id, ns, checkpoint_id, parent_id, delta FROM nested
     WHERE of_root = 1 AND (thread_id, root) IN (SELECT thread_id, root FROM wanted)
        OR of_ns = 1 AND (root IS NULL OR position(':' IN ns) = 0)
    UNION
    SELECT p.thread_id, p.ns, p.checkpoint_id, p.parent_id, p.delta
      FROM needed n
      JOIN placed p ON (p.thread_id, p.ns, p.checkpoint_id) = (n.thread_id, n.ns, n.parent_id)
     WHERE n.delta
), excess AS (
    SELECT thread_id, ns, checkpoint_id, age FROM placed
     WHERE NOT EXISTS (SELECT FROM needed n
                        WHERE (n.thread_id, n.ns, n.checkpoint_id)
                            = (placed.thread_id, placed.ns, placed.checkpoint_id))
), doomed AS (
    SELECT * FROM excess ORDER BY age LIMIT %(limit)s
), gone AS (
    DELETE FROM checkpoints c USING doomed d
     WHERE (c.thread_id, c.ns, c.checkpoint_id) = (d.thread_id, d.ns, d.checkpoint_id)
    RETURNING c.thread_id, c.ns, c.checkpoint_id, c.blob_ids
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
), kept AS (
    SELECT thread_id, lists, blob_ids FROM placed
     WHERE NOT EXISTS (SELECT FROM doomed d
                        WHERE (d.thread_id, d.ns, d.checkpoint_id)
                            = (placed.thread_id, placed.ns, placed.checkpoint_id))
), {gone_values}
UPDATE threads t
   SET fence = t.fence + 1,
       thinned = CASE WHEN left_over OR mine.keep <> 'latest' AND t.thread_id IN (
                                SELECT thread_id FROM recent)
                      THEN t.thinned ELSE mine.keep || '@' || t.head END
  FROM mine
  LEFT JOIN (SELECT thread_id, count(*) AS excess FROM excess GROUP BY 1) e USING (thread_id)
  LEFT JOIN (SELECT thread_id, count(*) AS dropped FROM doomed GROUP BY 1) d USING (thread_id)
  CROSS JOIN LATERAL (
       SELECT coalesce(excess, 0) > coalesce(dropped, 0) AS left_over) l
 WHERE t.thread_id = mine.thread_id
RETURNING t.thread_id, coalesce(dropped, 0) AS dropped, left_over;

-- prune_runs --
-- Delete runs that ended long ago.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), late AS (
    SELECT r.run_id FROM runs r, clock
     WHERE {ended_long_ago}
     ORDER BY r.updated_at
     LIMIT %(limit)s
       FOR UPDATE OF r SKIP LOCKED
)
DELETE FROM runs r USING late WHERE r.run_id = late.run_id RETURNING r.run_id;

-- prune_keys --
-- Delete API keys that expired long ago, and the buckets of owners that are full again.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), late_keys AS (
    SELECT k.key_id FROM api_keys k, clock
     WHERE k.expires_at < clock.now - make_interval(secs => %(older_than)s)
     LIMIT %(limit)s
       FOR UPDATE OF k SKIP LOCKED
), keys AS (
    DELETE FROM api_keys k USING late_keys l WHERE k.key_id = l.key_id RETURNING 1
), late_turns AS (
    SELECT u.owner FROM turns u, clock
     WHERE u.due < clock.now
     LIMIT %(limit)s
       FOR UPDATE OF u SKIP LOCKED
), buckets AS (
    DELETE FROM turns u USING late_turns l WHERE u.owner = l.owner RETURNING 1
)
SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM buckets) AS pruned;

-- backlog --
-- What waits for the sweep, each counted up to a bound, and what the tables take.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
)
SELECT (SELECT count(*) FROM (
            SELECT FROM threads t, clock WHERE {silent} LIMIT %(limit)s) x) AS overdue_steps,
       (SELECT count(*) FROM (
            SELECT FROM webhooks w, clock
             WHERE w.status = 'pending' AND w.due < clock.now - make_interval(secs => %(grace)s)
             LIMIT %(limit)s) x) AS overdue_webhooks,
       (SELECT count(*) FROM (
            SELECT FROM threads t WHERE {expired} LIMIT %(limit)s) x) AS expired_threads,
       (SELECT count(*) FROM (
            SELECT FROM runs r, clock WHERE {ended_long_ago} LIMIT %(limit)s) x) AS ended_runs,
       (SELECT jsonb_object_agg(relname, pg_total_relation_size(oid)) FROM pg_class
         WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace) AS bytes;
