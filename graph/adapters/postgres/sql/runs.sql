-- Runs, for clients.

-- create_run --
-- Accept a run: active at once on an idle thread, queued behind another on a busy one.
-- No run in the answer means refused; the rest of the row says why.
WITH earlier AS (
    SELECT * FROM runs WHERE owner = %(owner)s AND idempotency_key = %(idempotency_key)s
), t AS (
    UPDATE threads
       SET active_run_id = coalesce(active_run_id, %(run_id)s),
           queued = CASE WHEN active_run_id IS NULL THEN queued ELSE queued || %(run_id)s::text END,
           status = 'busy',
           metadata = metadata || %(belongs)s,
           attempts = CASE WHEN active_run_id IS NULL THEN 0 ELSE attempts END,
           rung_at = CASE WHEN active_run_id IS NULL THEN NULL ELSE rung_at END,
           wake_at = CASE WHEN active_run_id IS NOT NULL THEN wake_at
                          WHEN %(delay)s > 0
                          THEN clock_timestamp() + make_interval(secs => %(delay)s) END,
           updated_at = clock_timestamp()
     WHERE thread_id = %(thread_id)s AND owner = %(owner)s
       AND (active_run_id IS NULL OR %(multitask_strategy)s = 'enqueue')
       AND (NOT %(resumes)s OR status IN ('interrupted', 'busy'))
       AND (%(checkpoint_id)s::text IS NULL OR EXISTS (
               SELECT FROM checkpoints c
                WHERE c.thread_id = threads.thread_id AND c.ns = ''
                  AND c.checkpoint_id = %(checkpoint_id)s))
       AND NOT EXISTS (SELECT FROM earlier)
    RETURNING thread_id, seq, active_run_id
), run AS (
    INSERT INTO runs (run_id, thread_id, owner, assistant_id, graph_id, metadata, payload, kwargs,
                      multitask_strategy, idempotency_key, request_hash)
    SELECT %(run_id)s, thread_id, %(owner)s, %(assistant_id)s, %(graph_id)s, %(metadata)s,
           %(payload)s, %(kwargs)s, %(multitask_strategy)s, %(idempotency_key)s, %(request_hash)s
      FROM t
    RETURNING *
), any_run AS (
    SELECT * FROM run UNION ALL SELECT * FROM earlier
)
SELECT any_run.*, t.seq, t.active_run_id, t.thread_id IS NULL AS repeated,
       exists_.active_run_id AS busy_with, exists_.status AS thread_status,
       exists_.thread_id IS NOT NULL AS thread_exists,
       EXISTS (SELECT FROM checkpoints c
                WHERE c.thread_id = %(thread_id)s AND c.ns = ''
                  AND c.checkpoint_id = %(checkpoint_id)s) AS checkpoint_exists
  FROM (SELECT 1) one
  LEFT JOIN any_run ON true
  LEFT JOIN t ON true
  LEFT JOIN threads exists_
    ON exists_.thread_id = %(thread_id)s AND exists_.owner = %(owner)s;

-- get_run --
SELECT * FROM runs
 WHERE run_id = %(run_id)s AND thread_id = %(thread_id)s AND owner = %(owner)s;

-- runs_by_id --
SELECT * FROM runs WHERE run_id = ANY (%(run_ids)s);

-- list_runs --
SELECT r.*, t.thread_id AS of_thread
  FROM threads t
  LEFT JOIN LATERAL (
       SELECT * FROM runs
        WHERE thread_id = t.thread_id AND (%(status)s::text IS NULL OR status = %(status)s)
        ORDER BY created_at DESC, run_id DESC LIMIT %(limit)s OFFSET %(offset)s) r ON true
 WHERE t.thread_id = %(thread_id)s AND t.owner = %(owner)s;

-- cancel_run --
-- End a pending or running run as interrupted; a step in flight loses its claim, for the fence moves.
WITH before AS (
    SELECT thread_id, active_run_id = %(run_id)s AS was_active FROM threads
     WHERE thread_id = %(thread_id)s AND owner = %(owner)s
       FOR UPDATE
), t AS (
    UPDATE threads
       SET seq = seq + (active_run_id = %(run_id)s)::int,
           fence = fence + (active_run_id = %(run_id)s)::int,
           lease_until = CASE WHEN active_run_id = %(run_id)s THEN NULL ELSE lease_until END,
           wake_at = CASE WHEN active_run_id = %(run_id)s THEN NULL ELSE wake_at END,
           attempts = CASE WHEN active_run_id = %(run_id)s THEN 0 ELSE attempts END,
           rung_at = CASE WHEN active_run_id = %(run_id)s THEN NULL ELSE rung_at END,
           status = CASE WHEN active_run_id = %(run_id)s AND queued[1] IS NULL
                         THEN 'idle' ELSE status END,
           queued = CASE WHEN active_run_id = %(run_id)s THEN queued[2:]
                         ELSE array_remove(queued, %(run_id)s) END,
           active_run_id = CASE WHEN active_run_id = %(run_id)s THEN queued[1]
                                ELSE active_run_id END,
           updated_at = clock_timestamp()
      FROM before
     WHERE threads.thread_id = before.thread_id
       AND (active_run_id = %(run_id)s OR %(run_id)s = ANY (queued))
    RETURNING threads.thread_id, seq, active_run_id, head, was_active
), ended AS (
    UPDATE runs SET status = 'interrupted', head = t.head, updated_at = clock_timestamp()
      FROM t WHERE run_id = %(run_id)s
    RETURNING run_id
)
SELECT r.run_id, t.thread_id IS NOT NULL AS cancelled, t.seq, t.active_run_id, t.was_active
  FROM runs r LEFT JOIN t ON true
 WHERE r.run_id = %(run_id)s AND r.thread_id = %(thread_id)s AND r.owner = %(owner)s;

-- delete_run --
WITH gone AS (
    DELETE FROM runs
     WHERE run_id = %(run_id)s AND thread_id = %(thread_id)s AND owner = %(owner)s
       AND status NOT IN ('pending', 'running')
    RETURNING run_id
)
SELECT r.status, gone.run_id IS NOT NULL AS deleted
  FROM runs r LEFT JOIN gone ON true
 WHERE r.run_id = %(run_id)s AND r.thread_id = %(thread_id)s AND r.owner = %(owner)s;
