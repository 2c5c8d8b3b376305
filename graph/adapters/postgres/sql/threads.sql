-- Threads, for clients.

-- create_thread --
-- With the state it starts from, if any. No row means that it exists already.
WITH mine AS (
    INSERT INTO threads (thread_id, owner, metadata, config, ttl_minutes, ttl_strategy, status, head,
                         interrupts)
    VALUES (%(thread_id)s, %(owner)s, %(metadata)s, %(config)s, %(ttl_minutes)s, %(ttl_strategy)s,
            %(status)s, %(head)s, %(interrupts)s)
    ON CONFLICT DO NOTHING
    RETURNING *, clock_timestamp() AS written
)
SELECT mine.*, {rows} FROM mine;

-- copy_thread --
-- A copy of the thread as it is saved, at rest: no run goes on there. No row: there is no such thread,
-- or the target exists.
WITH target AS (
    INSERT INTO threads (thread_id, owner, metadata, config, ttl_minutes, ttl_strategy, status, head,
                         interrupts, error)
    SELECT %(target)s, owner, metadata, config, ttl_minutes, ttl_strategy,
           CASE WHEN active_run_id IS NULL THEN status ELSE 'idle' END, head,
           CASE WHEN active_run_id IS NULL THEN interrupts ELSE '{}' END,
           CASE WHEN active_run_id IS NULL THEN error END
      FROM threads WHERE thread_id = %(source)s AND owner = %(owner)s
    ON CONFLICT DO NOTHING
    RETURNING *
), {copies}
SELECT * FROM target;

-- get_thread --
SELECT * FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s;

-- heads --
-- The newest checkpoints of many threads.
SELECT t.thread_id, {checkpoint}
  FROM threads t
  JOIN checkpoints c ON c.thread_id = t.thread_id AND c.ns = '' AND c.checkpoint_id = t.head
 WHERE t.thread_id = ANY (%(thread_ids)s) AND t.owner = %(owner)s;

-- search_threads --
-- One page and, on each row, the number of all matches. A page past the end has none to carry it.
SELECT *, count(*) OVER () AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(holds)s
   AND (%(ids)s::text[] = '{}' OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY
   CASE WHEN %(order)s = 'created_at desc' THEN created_at END DESC,
   CASE WHEN %(order)s = 'created_at asc' THEN created_at END,
   CASE WHEN %(order)s = 'updated_at desc' THEN updated_at END DESC,
   CASE WHEN %(order)s = 'updated_at asc' THEN updated_at END,
   CASE WHEN %(order)s = 'state_updated_at desc' THEN (
           SELECT written FROM checkpoints c
            WHERE c.thread_id = threads.thread_id AND c.ns = '' AND c.checkpoint_id = head)
   END DESC NULLS LAST,
   CASE WHEN %(order)s = 'state_updated_at asc' THEN (
           SELECT written FROM checkpoints c
            WHERE c.thread_id = threads.thread_id AND c.ns = '' AND c.checkpoint_id = head)
   END NULLS FIRST,
   CASE WHEN %(order)s = 'status desc' THEN status END DESC,
   CASE WHEN %(order)s = 'status asc' THEN status END,
   CASE WHEN %(order)s LIKE '%% desc' THEN thread_id END DESC,
   thread_id
 LIMIT %(limit)s OFFSET %(offset)s;

-- count_threads --
SELECT count(*) AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(holds)s
   AND (%(ids)s::text[] = '{}' OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s);

-- update_thread --
UPDATE threads
   SET metadata = metadata || coalesce(%(metadata)s::jsonb, '{}'),
       ttl_minutes = coalesce(%(ttl_minutes)s, ttl_minutes),
       ttl_strategy = coalesce(%(ttl_strategy)s, ttl_strategy),
       updated_at = clock_timestamp()
 WHERE thread_id = %(thread_id)s AND owner = %(owner)s
RETURNING *;

-- delete_thread --
DELETE FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s RETURNING thread_id;

-- delete_threads --
DELETE FROM threads WHERE owner = %(owner)s AND thread_id = ANY (%(thread_ids)s)
RETURNING thread_id;

-- idle_threads --
-- Those of the threads that no run and no edit is at.
SELECT thread_id FROM threads
 WHERE owner = %(owner)s AND thread_id = ANY (%(thread_ids)s) AND active_run_id IS NULL
   AND (lease_until IS NULL OR lease_until <= clock_timestamp());
