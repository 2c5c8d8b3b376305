-- Crons.

-- create_cron --
-- No row means that its thread does not exist for this owner.
INSERT INTO crons (cron_id, owner, assistant_id, thread_id, schedule, timezone, end_time, enabled,
                   on_run_completed, metadata, payload, kwargs, multitask_strategy, next_run_date,
                   stamp, made_assistant)
SELECT %(cron_id)s, %(owner)s, %(assistant_id)s, %(thread_id)s, %(schedule)s, %(timezone)s,
       %(end_time)s::timestamptz, %(enabled)s, %(on_run_completed)s, %(metadata)s, %(payload)s,
       %(kwargs)s, %(multitask_strategy)s, %(next_run_date)s::timestamptz, %(stamp)s,
       %(made_assistant)s
 WHERE %(thread_id)s::text IS NULL
    OR EXISTS (SELECT FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s)
RETURNING *;

-- get_cron --
SELECT * FROM crons WHERE cron_id = %(cron_id)s AND owner = %(owner)s;

-- replace_cron --
-- A firing moves next_run_date alone, and is not undone by a change that leaves it be.
UPDATE crons
   SET assistant_id = %(assistant_id)s,
       schedule = %(schedule)s,
       timezone = %(timezone)s,
       end_time = %(end_time)s,
       enabled = %(enabled)s,
       on_run_completed = %(on_run_completed)s,
       metadata = %(metadata)s,
       payload = %(payload)s,
       kwargs = %(kwargs)s,
       multitask_strategy = %(multitask_strategy)s,
       next_run_date = CASE WHEN %(moves)s THEN %(next_run_date)s ELSE next_run_date END,
       updated_at = clock_timestamp()
 WHERE cron_id = %(cron_id)s AND owner = %(owner)s AND updated_at = %(seen)s
RETURNING *;

-- delete_cron --
DELETE FROM crons WHERE cron_id = %(cron_id)s AND owner = %(owner)s RETURNING cron_id;

-- search_crons --
-- One page and, on each row, the number of all matches. A page past the end has none to carry it.
SELECT *, count(*) OVER () AS total
  FROM crons
 WHERE {asked_crons}
 ORDER BY
   CASE WHEN %(order)s = 'created_at desc' THEN created_at END DESC,
   CASE WHEN %(order)s = 'created_at asc' THEN created_at END,
   CASE WHEN %(order)s = 'updated_at desc' THEN updated_at END DESC,
   CASE WHEN %(order)s = 'updated_at asc' THEN updated_at END,
   CASE WHEN %(order)s = 'next_run_date desc' THEN next_run_date END DESC NULLS LAST,
   CASE WHEN %(order)s = 'next_run_date asc' THEN next_run_date END,
   CASE WHEN %(order)s = 'end_time desc' THEN end_time END DESC NULLS LAST,
   CASE WHEN %(order)s = 'end_time asc' THEN end_time END,
   CASE WHEN %(order)s = 'assistant_id desc' THEN assistant_id END DESC,
   CASE WHEN %(order)s = 'assistant_id asc' THEN assistant_id END,
   CASE WHEN %(order)s = 'thread_id desc' THEN thread_id END DESC NULLS LAST,
   CASE WHEN %(order)s = 'thread_id asc' THEN thread_id END,
   CASE WHEN %(order)s LIKE '%% desc' THEN cron_id END DESC,
   cron_id
 LIMIT %(limit)s OFFSET %(offset)s;

-- count_crons --
SELECT count(*) AS total FROM crons WHERE {asked_crons};

-- part asked_crons --
owner = %(owner)s
   AND metadata @> %(holds)s
   AND (%(assistant_id)s::text IS NULL OR assistant_id = %(assistant_id)s)
   AND (%(thread_id)s::text IS NULL OR thread_id = %(thread_id)s)
   AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)

-- due_crons --
SELECT * FROM crons WHERE next_run_date <= %(now)s ORDER BY next_run_date LIMIT %(limit)s;

-- hold_owner --
-- Whoever makes a run under a quota holds its owner before the thread: see `room`.
SELECT unfinished_1(%(owner)s);

-- move_cron --
-- On to the next due time; no row means that this one has been dealt with. The thread is locked
-- first, as by those who delete it and its crons.
WITH thread AS (
    SELECT thread_id FROM threads WHERE thread_id = %(thread_id)s FOR UPDATE
)
UPDATE crons SET next_run_date = %(next_run_date)s, error = %(error)s
 WHERE cron_id = %(cron_id)s
   AND next_run_date = %(due)s
   AND (%(thread_id)s::text IS NULL OR EXISTS (SELECT FROM thread))
RETURNING cron_id;
