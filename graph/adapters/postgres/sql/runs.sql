-- Runs, for clients.

-- part asked --
-- The ids of the questions that the thread `t` waits with.
ARRAY(SELECT q ->> 'id' FROM jsonb_each(t.interrupts) e, jsonb_array_elements(e.value) q)

-- part left --
-- What ending the thread's active run leaves behind, from the thread as it is seen. Checkpoints are
-- as old as what is seen, so whoever uses it compares updated_at, and is refused if they differ.
CASE WHEN %(undo)s AND active_run_id IS NOT NULL THEN (
           SELECT c.checkpoint_id FROM checkpoints c
            WHERE c.thread_id = threads.thread_id AND c.ns = ''
              AND c.metadata ->> 'run_id' IS DISTINCT FROM active_run_id
            ORDER BY c.written DESC, c.place DESC, c.checkpoint_id DESC LIMIT 1)
       ELSE head END AS head,
       %(undo)s OR NOT EXISTS (
           SELECT FROM checkpoints c
            WHERE c.thread_id = threads.thread_id AND c.ns = ''
              AND c.metadata ->> 'run_id' = active_run_id) AS as_before,
       coalesce(rests_as, 'idle') AS rests_as

-- part undone if undo --
-- Undoes the runs that `t` ended: the runs, their checkpoints and writes, what these replaced, and the
-- values that nobody else refers to.
gone AS (
    DELETE FROM checkpoints c USING t
     WHERE c.thread_id = t.thread_id AND c.metadata ->> 'run_id' = ANY (t.ended)
    RETURNING c.thread_id, c.ns, c.checkpoint_id, c.blob_ids
), gone_writes AS (
    DELETE FROM writes w USING t
     WHERE w.thread_id = t.thread_id
       AND (w.run_id = ANY (t.ended) AND w.was_kind IS NULL
            OR (w.ns, w.checkpoint_id) IN (SELECT ns, checkpoint_id FROM gone))
), restored_writes AS (
    UPDATE writes w
       SET kind = w.was_kind, data = w.was_data, run_id = NULL, was_kind = NULL, was_data = NULL
      FROM t
     WHERE w.thread_id = t.thread_id
       AND w.run_id = ANY (t.ended) AND w.was_kind IS NOT NULL
       AND (w.ns, w.checkpoint_id) NOT IN (SELECT ns, checkpoint_id FROM gone)
), kept AS (
    SELECT c.thread_id, c.lists, c.blob_ids
      FROM t JOIN checkpoints c ON c.thread_id = t.thread_id
     WHERE (c.ns, c.checkpoint_id) NOT IN (SELECT ns, checkpoint_id FROM gone)
), {gone_values}, gone_runs AS (
    DELETE FROM runs r USING t WHERE r.run_id = ANY (t.ended)
)

-- part interrupted if cuts_short --
-- Ends the runs that `t` ended, and leaves what they did.
ended_runs AS (
    UPDATE runs SET status = 'interrupted', head = t.head, updated_at = clock_timestamp()
      FROM t WHERE run_id = ANY (t.ended)
)

-- part room --
-- The part of a statement that finds how many more runs the owner may have, and keeps it so until
-- the statement is over; null without a limit.
room AS (
    SELECT CASE WHEN %(most)s > 0 THEN %(most)s - unfinished_1(%(owner)s) END AS free
)

-- create_run --
-- Accept a run: active at once on an idle thread; on a busy one queued behind another, or in place
-- of all that have not ended, which moves the fence. No run in the answer means refused; the rest
-- of the row says why.
WITH earlier AS (
    SELECT * FROM runs WHERE owner = %(owner)s AND idempotency_key = %(idempotency_key)s
), seen AS (
    SELECT thread_id, updated_at, fence, active_run_id IS NOT NULL AND %(displaces)s AS displaced,
           CASE WHEN active_run_id IS NOT NULL AND %(displaces)s
                THEN array_prepend(active_run_id, queued) ELSE '{}' END AS ended,
           {left}
      FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s
), {room}, t AS (
    UPDATE threads t
       SET active_run_id = CASE WHEN t.active_run_id IS NULL OR seen.displaced
                                THEN %(run_id)s ELSE t.active_run_id END,
           queued = CASE WHEN t.active_run_id IS NULL OR seen.displaced
                         THEN '{}' ELSE t.queued || %(run_id)s::text END,
           attempts = CASE WHEN t.active_run_id IS NULL OR seen.displaced
                           THEN 0 ELSE t.attempts END,
           rung_at = CASE WHEN t.active_run_id IS NULL OR seen.displaced
                          THEN NULL ELSE t.rung_at END,
           wake_at = CASE WHEN t.active_run_id IS NOT NULL AND NOT seen.displaced THEN t.wake_at
                          WHEN %(delay)s > 0
                          THEN clock_timestamp() + make_interval(secs => %(delay)s) END,
           rests_as = CASE WHEN t.active_run_id IS NULL THEN t.status
                           WHEN seen.displaced AND NOT seen.as_before THEN 'idle'
                           ELSE t.rests_as END,
           seq = t.seq + seen.displaced::int,
           fence = t.fence + seen.displaced::int,
           events = t.events + 1000000 * seen.displaced::int,  -- as a claim after one that died
           lease_until = CASE WHEN seen.displaced THEN NULL ELSE t.lease_until END,
           head = CASE WHEN seen.displaced THEN seen.head ELSE t.head END,
           interrupts = CASE WHEN seen.displaced AND NOT seen.as_before
                             THEN '{}' ELSE t.interrupts END,
           error = CASE WHEN seen.displaced AND NOT seen.as_before THEN NULL ELSE t.error END,
           status = 'busy',
           metadata = t.metadata || %(belongs)s,
           updated_at = clock_timestamp()
      FROM seen
     WHERE t.thread_id = seen.thread_id
       AND (t.updated_at = seen.updated_at OR NOT %(displaces)s)
       AND (t.active_run_id IS NULL OR seen.displaced OR %(multitask_strategy)s = 'enqueue')
       AND (NOT %(resumes)s OR CASE WHEN NOT seen.displaced THEN t.status
                                    WHEN seen.as_before THEN seen.rests_as
                                    ELSE 'idle' END IN ('interrupted', 'busy'))
       AND (NOT %(strict)s OR t.active_run_id IS NOT NULL AND NOT seen.displaced
            OR CASE WHEN %(answers)s::text[] IS NULL THEN cardinality({asked}) <= 1
                    ELSE %(answers)s::text[] <@ {asked} END)
       AND (%(if_match)s::text IS NULL
            OR t.active_run_id IS NULL AND t.head = %(if_match)s
            OR seen.displaced AND seen.head = %(if_match)s)
       AND (%(checkpoint_id)s::text IS NULL OR EXISTS (
               SELECT FROM checkpoints c
                WHERE c.thread_id = t.thread_id AND c.ns = ''
                  AND c.checkpoint_id = %(checkpoint_id)s
                  AND NOT (%(undo)s AND coalesce(c.metadata ->> 'run_id' = ANY (seen.ended), false))))
       AND (%(checkpoint_id)s::text IS NULL OR t.fence = seen.fence)  -- it may be gone: see thin
       AND NOT EXISTS (SELECT FROM earlier)
       AND coalesce((SELECT free FROM room) + cardinality(seen.ended) > 0, true)
    RETURNING t.thread_id, t.seq, t.active_run_id, t.head, seen.ended
){undone}{interrupted}, run AS (
    INSERT INTO runs (run_id, thread_id, owner, assistant_id, graph_id, metadata, payload, kwargs,
                      multitask_strategy, idempotency_key, request_hash, due_at)
    SELECT %(run_id)s, thread_id, %(owner)s, %(assistant_id)s, %(graph_id)s, %(metadata)s,
           %(payload)s, %(kwargs)s, %(multitask_strategy)s, %(idempotency_key)s, %(request_hash)s,
           CASE WHEN %(delay)s > 0 THEN clock_timestamp() + make_interval(secs => %(delay)s) END
      FROM t
    RETURNING *
), any_run AS (
    SELECT * FROM run UNION ALL SELECT * FROM earlier
)
SELECT any_run.*, t.seq, t.active_run_id, t.ended, t.thread_id IS NULL AS repeated,
       seen.thread_id IS NOT NULL AS thread_exists, th.active_run_id AS busy_with,
       CASE WHEN NOT seen.displaced THEN th.status
            WHEN seen.as_before THEN seen.rests_as ELSE 'idle' END AS thread_status,
       seen.displaced, seen.head AS starts_from,
       CASE WHEN seen.displaced AND NOT seen.as_before THEN '{}' ELSE th.interrupts END AS questions,
       EXISTS (SELECT FROM checkpoints c
                WHERE c.thread_id = %(thread_id)s AND c.ns = ''
                  AND c.checkpoint_id = %(checkpoint_id)s
                  AND NOT (%(undo)s AND coalesce(c.metadata ->> 'run_id' = ANY (seen.ended), false)))
       AS checkpoint_exists,
       coalesce((SELECT free FROM room) + coalesce(cardinality(seen.ended), 0) <= 0, false) AS no_room
  FROM (SELECT 1) one
  LEFT JOIN any_run ON true
  LEFT JOIN t ON true
  LEFT JOIN seen ON true
  LEFT JOIN threads th ON th.thread_id = seen.thread_id;

-- create_alone --
-- Accept runs each on a thread made for it, all of them or none; or find those of an earlier request.
WITH earlier AS (
    SELECT * FROM runs WHERE owner = %(owner)s AND idempotency_key = ANY (%(keys)s)
), {room}, asked AS (
    SELECT * FROM jsonb_to_recordset(%(runs)s)
        AS a (run_id text, thread_id text, assistant_id text, graph_id text, metadata jsonb,
              belongs jsonb, payload jsonb, kwargs jsonb, multitask_strategy text,
              idempotency_key text, request_hash text, delay float8, ttl_minutes float8,
              ttl_strategy text)
     WHERE NOT EXISTS (SELECT FROM earlier)
       AND coalesce((SELECT free FROM room) >= %(new)s, true)
), made AS (
    INSERT INTO threads (thread_id, owner, metadata, status, rests_as, active_run_id, wake_at,
                         ttl_minutes, ttl_strategy)
    SELECT thread_id, %(owner)s, belongs, 'busy', 'idle', run_id,
           CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) END,
           ttl_minutes, ttl_strategy
      FROM asked
), run AS (
    INSERT INTO runs (run_id, thread_id, owner, assistant_id, graph_id, metadata, payload, kwargs,
                      multitask_strategy, idempotency_key, request_hash)
    SELECT run_id, thread_id, %(owner)s, assistant_id, graph_id, metadata, payload, kwargs,
           multitask_strategy, idempotency_key, request_hash
      FROM asked
    RETURNING *
)
SELECT run.*, false AS repeated FROM run UNION ALL SELECT earlier.*, true FROM earlier;

-- get_run --
SELECT * FROM runs
 WHERE run_id = %(run_id)s AND thread_id = %(thread_id)s AND owner = %(owner)s;

-- runs_by_id --
SELECT * FROM runs WHERE run_id = ANY (%(run_ids)s);

-- unfinished_runs --
-- Which of an owner's runs have not ended, newest first: a thread's, those named, those of a status.
SELECT run_id, thread_id FROM runs
 WHERE owner = %(owner)s AND status IN ('pending', 'running')
   AND (%(thread_id)s::text IS NULL OR thread_id = %(thread_id)s)
   AND (%(run_ids)s::text[] IS NULL OR run_id = ANY (%(run_ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY created_at DESC, run_id DESC
 LIMIT %(limit)s;

-- list_runs --
SELECT r.*, t.thread_id AS of_thread
  FROM threads t
  LEFT JOIN LATERAL (
       SELECT * FROM runs
        WHERE thread_id = t.thread_id AND (%(status)s::text IS NULL OR status = %(status)s)
        ORDER BY created_at DESC, run_id DESC LIMIT %(limit)s OFFSET %(offset)s) r ON true
 WHERE t.thread_id = %(thread_id)s AND t.owner = %(owner)s;

-- cancel_run --
-- End a run that has not ended: as interrupted, or undone as if it had never been. A step in flight
-- loses its claim, for the fence moves. Not cancelled though it has not ended: the thread moved on
-- in this moment, and what is seen of it is old.
WITH seen AS (
    SELECT thread_id, updated_at, coalesce(active_run_id = %(run_id)s, false) AS displaced, {left}
      FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s
), t AS (
    UPDATE threads t
       SET active_run_id = CASE WHEN seen.displaced THEN t.queued[1] ELSE t.active_run_id END,
           queued = CASE WHEN seen.displaced THEN t.queued[2:]
                         ELSE array_remove(t.queued, %(run_id)s) END,
           attempts = CASE WHEN seen.displaced THEN 0 ELSE t.attempts END,
           rung_at = CASE WHEN seen.displaced THEN NULL ELSE t.rung_at END,
           wake_at = CASE WHEN NOT seen.displaced THEN t.wake_at
                          ELSE (SELECT due_at FROM runs r WHERE r.run_id = t.queued[1]) END,
           rests_as = CASE WHEN seen.displaced AND NOT seen.as_before
                           THEN 'idle' ELSE t.rests_as END,
           seq = t.seq + seen.displaced::int,
           fence = t.fence + seen.displaced::int,
           events = t.events + 1000000 * seen.displaced::int,  -- as a claim after one that died
           lease_until = CASE WHEN seen.displaced THEN NULL ELSE t.lease_until END,
           head = CASE WHEN seen.displaced THEN seen.head ELSE t.head END,
           interrupts = CASE WHEN seen.displaced AND NOT seen.as_before
                             THEN '{}' ELSE t.interrupts END,
           error = CASE WHEN seen.displaced AND NOT seen.as_before THEN NULL ELSE t.error END,
           status = CASE WHEN NOT seen.displaced OR t.queued[1] IS NOT NULL THEN t.status
                         WHEN seen.as_before THEN seen.rests_as ELSE 'idle' END,
           updated_at = clock_timestamp()
      FROM seen
     WHERE t.thread_id = seen.thread_id AND t.updated_at = seen.updated_at
       AND (t.active_run_id = %(run_id)s OR %(run_id)s = ANY (t.queued))
    RETURNING t.thread_id, t.seq, t.active_run_id, t.head, seen.displaced, t.wake_at,
              ARRAY[%(run_id)s::text] AS ended
){undone}{interrupted}
SELECT r.run_id, r.status, t.thread_id IS NOT NULL AS cancelled, t.seq, t.active_run_id, t.displaced,
       extract(epoch FROM t.wake_at - clock_timestamp())::float8 AS due_in
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
