-- Every statement Baton sends to Postgres, one round trip each.
--
-- A state change is one statement that returns what it did. Leases are judged by the database's
-- clock; only tests pass %(now)s. No SET, no sequences, nothing prepared behind a proxy: nothing pins a
-- proxied session.

-- claim --
-- Take a step's lease and load what it starts from; without a claim, the thread as it stands.
-- If the update waited for another transaction, the reads below it are older than the row it
-- returns. Whoever changes what a step starts from moves updated_at: then the claim is stale, and
-- is given back and made again.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), claimed AS (
    UPDATE threads t
       SET fence = t.fence + 1,
           lease_until = clock.now + make_interval(secs => %(lease)s),
           events_kept = CASE WHEN t.attempts = 0 THEN t.events ELSE t.events_kept END,
           attempts = t.attempts + 1
      FROM threads seen, clock
     WHERE t.thread_id = %(thread_id)s
       AND seen.thread_id = t.thread_id
       AND t.seq = %(seq)s
       AND t.active_run_id IS NOT NULL
       AND (t.lease_until IS NULL OR t.lease_until <= clock.now)
       AND (t.wake_at IS NULL OR t.wake_at <= clock.now)
       AND NOT %(stopped)s
    RETURNING t.fence, t.attempts, t.head, t.active_run_id,
              t.updated_at <> seen.updated_at AS stale
), run AS (
    UPDATE runs SET status = 'running', updated_at = clock.now
      FROM claimed, clock
     WHERE run_id = claimed.active_run_id AND status = 'pending'
    RETURNING run_id
)
SELECT t.owner, t.seq, t.active_run_id IS NOT NULL AS active,
       extract(epoch FROM t.lease_until - clock.now)::float8 AS leased_for,
       extract(epoch FROM t.wake_at - clock.now)::float8 AS due_in,
       claimed.fence, claimed.attempts, claimed.head AS thread_head, claimed.stale,
       r.run_id, r.assistant_id, r.graph_id, r.metadata AS run_metadata, r.kwargs, r.input_applied,
       r.stop_at, r.multitask_strategy, r.created_at, r.updated_at, r.calls, r.tokens, r.usd,
       t.calls AS thread_calls, t.tokens AS thread_tokens, t.usd AS thread_usd,
       CASE WHEN NOT r.input_applied THEN r.payload END AS payload,
       {checkpoint}
  FROM clock
  JOIN threads t ON t.thread_id = %(thread_id)s
  LEFT JOIN claimed ON true
  LEFT JOIN runs r ON r.run_id = claimed.active_run_id
  LEFT JOIN checkpoints c
    ON c.thread_id = t.thread_id AND c.ns = ''
   AND c.checkpoint_id = coalesce(
           CASE WHEN NOT r.input_applied THEN r.kwargs ->> 'checkpoint_id' END, claimed.head);

-- give_back --
-- Undo a claim that nothing was done with.
UPDATE threads SET lease_until = NULL, attempts = attempts - 1
 WHERE thread_id = %(thread_id)s AND fence = %(fence)s;

-- hold --
-- Take the lease of a thread on which no run is active, to edit its state.
WITH held AS (
    UPDATE threads
       SET fence = fence + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
     WHERE thread_id = %(thread_id)s AND owner = %(owner)s
       AND active_run_id IS NULL
       AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    RETURNING thread_id, fence, head
)
SELECT t.seq, t.active_run_id, held.fence, held.head
  FROM threads t LEFT JOIN held USING (thread_id)
 WHERE t.thread_id = %(thread_id)s AND t.owner = %(owner)s;

-- save --
-- Keep what finished tasks did while their siblings run on; no row means the claim was lost.
WITH mine AS (
    UPDATE threads SET head = coalesce(%(head)s, head), updated_at = clock_timestamp()
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING thread_id, seq, active_run_id, clock_timestamp() AS written
), run AS (
    UPDATE runs SET input_applied = input_applied OR %(input_applied)s
      FROM mine
     WHERE run_id = mine.active_run_id AND %(input_applied)s
), {rows}
SELECT seq FROM mine;

-- advance --
-- Save a step, release the lease and move the thread on; no row means the claim was lost.
WITH mine AS (
    UPDATE threads
       SET seq = seq + %(steps)s,
           fence = fence + 1,
           lease_until = NULL,
           attempts = CASE WHEN %(again)s THEN attempts ELSE 0 END,
           wake_at = CASE WHEN %(edits)s THEN wake_at
                          ELSE clock_timestamp() + make_interval(secs => %(wake_in)s) END,
           rung_at = NULL,
           head = coalesce(%(head)s, head),
           events = events + %(told)s,
           calls = calls + %(calls)s,
           tokens = tokens + %(tokens)s,
           usd = usd + %(usd)s,
           active_run_id = CASE WHEN %(ends)s THEN queued[1] ELSE active_run_id END,
           queued = CASE WHEN %(ends)s THEN queued[2:] ELSE queued END,
           status = CASE WHEN %(ends)s AND queued[1] IS NOT NULL THEN 'busy'
                         WHEN %(ends)s OR active_run_id IS NULL THEN %(thread_status)s
                         ELSE status END,
           interrupts = CASE WHEN %(ends)s OR active_run_id IS NULL
                             THEN %(interrupts)s::jsonb ELSE interrupts END,
           error = CASE WHEN %(ends)s OR active_run_id IS NULL
                        THEN %(error)s::jsonb ELSE error END,
           updated_at = clock_timestamp()
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING thread_id, seq, active_run_id, head, wake_at, events, events_kept,
              clock_timestamp() AS written
), run AS (
    UPDATE runs
       SET status = CASE WHEN %(ends)s THEN %(run_status)s ELSE status END,
           input_applied = input_applied OR %(input_applied)s,
           stop_at = coalesce(%(stop_at)s, stop_at),
           head = CASE WHEN %(ends)s THEN mine.head ELSE runs.head END,
           error = CASE WHEN %(ends)s THEN %(error)s::jsonb ELSE error END,
           calls = calls + %(calls)s,
           tokens = tokens + %(tokens)s,
           usd = usd + %(usd)s,
           updated_at = clock_timestamp()
      FROM mine
     WHERE run_id = %(run_id)s AND (%(ends)s OR NOT input_applied OR %(calls)s > 0)
), new_usage AS (
    INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                       output_tokens, cached_tokens, usd, ms, lost)
    SELECT s.call_id, %(owner)s, mine.thread_id, %(run_id)s, %(seq)s, s.node, s.model,
           s.input_tokens, s.output_tokens, s.cached_tokens, s.usd, s.ms, false
      FROM mine, jsonb_to_recordset(%(spent)s::jsonb)
           AS s (call_id text, node text, model text, input_tokens int, output_tokens int,
                 cached_tokens int, usd numeric, ms int)
), {rows}{and_events}
SELECT seq, active_run_id IS NOT NULL AS active,
       extract(epoch FROM wake_at - clock_timestamp())::float8 AS due_in
  FROM mine;

-- charge --
-- Record what a lost claim spent: the one write that no fence refuses. Safe to repeat.
WITH spent AS (
    INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                       output_tokens, cached_tokens, usd, ms, lost)
    SELECT s.call_id, %(owner)s, %(thread_id)s, %(run_id)s, %(seq)s, s.node, s.model,
           s.input_tokens, s.output_tokens, s.cached_tokens, s.usd, s.ms, true
      FROM jsonb_to_recordset(%(spent)s::jsonb)
           AS s (call_id text, node text, model text, input_tokens int, output_tokens int,
                 cached_tokens int, usd numeric, ms int)
    ON CONFLICT DO NOTHING
    RETURNING input_tokens + output_tokens AS tokens, usd
), total AS (
    SELECT count(*) AS calls, coalesce(sum(tokens), 0) AS tokens, coalesce(sum(usd), 0) AS usd
      FROM spent
), thread AS (
    UPDATE threads t
       SET calls = t.calls + total.calls, tokens = t.tokens + total.tokens, usd = t.usd + total.usd
      FROM total
     WHERE t.thread_id = %(thread_id)s AND t.owner = %(owner)s
)
UPDATE runs r
   SET calls = r.calls + total.calls, tokens = r.tokens + total.tokens, usd = r.usd + total.usd
  FROM total
 WHERE r.run_id = %(run_id)s;

-- rows --
-- The part of a statement that stores checkpoints, blobs and writes for the thread in `mine`.
new_checkpoints AS (
    INSERT INTO checkpoints
           (thread_id, ns, checkpoint_id, parent_id, written, place, metadata, blob_ids, body)
    SELECT mine.thread_id, c.ns, c.id, c.parent_id, mine.written, c.place, c.metadata,
           ARRAY(SELECT decode(b, 'hex') FROM jsonb_array_elements_text(c.blob_ids) b), c.body
      FROM mine, unnest(%(c_ns)s::text[], %(c_id)s::text[], %(c_parent)s::text[],
                        %(c_metadata)s::jsonb[], %(c_blobs)s::jsonb[], %(c_body)b::bytea[])
           WITH ORDINALITY AS c (ns, id, parent_id, metadata, blob_ids, body, place)
    ON CONFLICT DO NOTHING
), new_blobs AS (
    INSERT INTO blobs (thread_id, blob_id, kind, data)
    SELECT mine.thread_id, b.id, b.kind, b.data
      FROM mine, unnest(%(b_id)b::bytea[], %(b_kind)s::text[], %(b_data)b::bytea[])
           AS b (id, kind, data)
    ON CONFLICT DO NOTHING
), new_writes AS (
    INSERT INTO writes
           (thread_id, ns, checkpoint_id, task_id, idx, task_path, channel, kind, data)
    SELECT mine.thread_id, w.ns, w.checkpoint_id, w.task_id, w.idx, w.task_path, w.channel,
           w.kind, w.data
      FROM mine, unnest(%(w_ns)s::text[], %(w_checkpoint)s::text[], %(w_task)s::text[],
                        %(w_idx)s::int[], %(w_path)s::text[], %(w_channel)s::text[],
                        %(w_kind)s::text[], %(w_data)b::bytea[])
           AS w (ns, checkpoint_id, task_id, idx, task_path, channel, kind, data)
    ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) DO UPDATE
       SET channel = excluded.channel, kind = excluded.kind, data = excluded.data
     WHERE writes.idx < 0
)

-- tell --
-- Store events of a step that is still running; no row means the claim was lost.
WITH mine AS (
    UPDATE threads SET events = events + %(told)s
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING events, events_kept
), {events}
SELECT events FROM mine;

-- events --
-- The part of a statement that stores the events of the thread in `mine`, instead of those that an
-- earlier attempt at its step told and died.
unsaid AS (
    DELETE FROM events e USING mine
     WHERE e.run_id = %(run_id)s AND e.seq > mine.events_kept AND e.fence < %(fence)s
), new_events AS (
    INSERT INTO events (run_id, seq, fence, name, data)
    SELECT %(run_id)s, mine.events - %(told)s + e.place, %(fence)s, e.name, e.data
      FROM mine, unnest(%(e_name)s::text[], %(e_data)b::bytea[])
           WITH ORDINALITY AS e (name, data, place)
)

-- heard --
-- What runs told after a number each, and how they stand; runs that are gone are left out.
SELECT r.run_id, r.status, r.error, r.head,
       coalesce((SELECT max(seq) FROM events WHERE run_id = r.run_id), 0) AS last,
       e.seq, e.name, e.data
  FROM unnest(%(run_ids)s::text[], %(after)s::bigint[]) AS asked (run_id, after)
  JOIN runs r USING (run_id)
  LEFT JOIN LATERAL (
       SELECT seq, name, data FROM events
        WHERE run_id = r.run_id AND seq > asked.after
        ORDER BY seq LIMIT %(limit)s) e ON true
 ORDER BY r.run_id, e.seq;

-- checkpoint --
-- The part of a statement that reads the checkpoint `c` with its blobs and pending writes.
c.ns, c.checkpoint_id, c.parent_id, c.metadata, c.blob_ids, c.body,
       (SELECT array_agg(ARRAY[b.blob_id, convert_to(b.kind, 'UTF8'), b.data])
          FROM blobs b
         WHERE b.thread_id = c.thread_id AND b.blob_id = ANY (c.blob_ids)) AS blobs,
       (SELECT array_agg(ARRAY[convert_to(w.task_id, 'UTF8'), convert_to(w.task_path, 'UTF8'),
                               convert_to(w.idx::text, 'UTF8'), convert_to(w.channel, 'UTF8'),
                               convert_to(w.kind, 'UTF8'), w.data])
          FROM writes w
         WHERE w.thread_id = c.thread_id AND w.ns = c.ns
           AND w.checkpoint_id = c.checkpoint_id) AS writes

-- load --
-- One checkpoint with its blobs and pending writes; the newest when no id is given.
SELECT c.thread_id, {checkpoint}
  FROM checkpoints c
  LEFT JOIN threads t ON t.thread_id = c.thread_id AND c.ns = ''
 WHERE c.thread_id = %(thread_id)s AND c.ns = %(ns)s
   AND (%(checkpoint_id)s::text IS NULL OR c.checkpoint_id = %(checkpoint_id)s)
 ORDER BY (c.checkpoint_id = t.head) DESC NULLS LAST, c.written DESC, c.place DESC,
          c.checkpoint_id DESC
 LIMIT 1;

-- history --
-- Checkpoints, newest first.
SELECT c.thread_id, {checkpoint}
  FROM checkpoints c
 WHERE (%(thread_id)s::text IS NULL OR c.thread_id = %(thread_id)s)
   AND (%(ns)s::text IS NULL OR c.ns = %(ns)s)
   AND (%(metadata)s::jsonb IS NULL OR c.metadata @> %(metadata)s::jsonb)
   AND (%(before)s::text IS NULL OR (c.written, c.place, c.checkpoint_id) < (
           SELECT b.written, b.place, b.checkpoint_id FROM checkpoints b
            WHERE b.thread_id = c.thread_id AND b.checkpoint_id = %(before)s
            LIMIT 1))
 ORDER BY c.written DESC, c.place DESC, c.checkpoint_id DESC
 LIMIT %(limit)s::bigint;

-- put --
-- Store rows with no claim; the thread is made when it is missing.
WITH mine AS (
    INSERT INTO threads (thread_id, owner, head) VALUES (%(thread_id)s, '', %(head)s)
    ON CONFLICT (thread_id) DO UPDATE SET head = coalesce(%(head)s, threads.head)
    RETURNING thread_id, clock_timestamp() AS written
), {rows}
SELECT thread_id FROM mine;

-- delete_checkpoints --
-- Drop a thread's checkpoints, or those that some runs made, and the blobs nobody refers to.
WITH gone AS (
    DELETE FROM checkpoints
     WHERE thread_id = %(thread_id)s OR metadata ->> 'run_id' = ANY (%(run_ids)s)
    RETURNING thread_id, ns, checkpoint_id
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
), left_over AS (
    SELECT c.thread_id, c.ns, c.checkpoint_id, c.written, c.place, c.blob_ids
      FROM checkpoints c
     WHERE c.thread_id IN (SELECT thread_id FROM gone)
       AND (c.thread_id, c.ns, c.checkpoint_id)
           NOT IN (SELECT thread_id, ns, checkpoint_id FROM gone)
), gone_blobs AS (
    DELETE FROM blobs b
     WHERE b.thread_id IN (SELECT thread_id FROM gone)
       AND NOT EXISTS (SELECT FROM left_over l
                        WHERE l.thread_id = b.thread_id AND b.blob_id = ANY (l.blob_ids))
)
UPDATE threads t
   SET head = (SELECT l.checkpoint_id FROM left_over l
                WHERE l.thread_id = t.thread_id AND l.ns = ''
                ORDER BY l.written DESC, l.place DESC, l.checkpoint_id DESC LIMIT 1)
 WHERE (t.thread_id, t.head) IN (SELECT thread_id, checkpoint_id FROM gone WHERE ns = '');

-- copy_checkpoints --
-- Copy all checkpoints, blobs and writes of a thread to another; the target is made when missing.
WITH target AS (
    INSERT INTO threads (thread_id, owner, head)
    SELECT %(target)s, owner, head FROM threads WHERE thread_id = %(source)s
    ON CONFLICT (thread_id) DO UPDATE SET head = excluded.head
    RETURNING thread_id
), c AS (
    INSERT INTO checkpoints
    SELECT target.thread_id, s.ns, s.checkpoint_id, s.parent_id, s.written, s.place, s.metadata,
           s.blob_ids, s.body
      FROM target, checkpoints s WHERE s.thread_id = %(source)s
    ON CONFLICT DO NOTHING
), b AS (
    INSERT INTO blobs
    SELECT target.thread_id, s.blob_id, s.kind, s.data
      FROM target, blobs s WHERE s.thread_id = %(source)s
    ON CONFLICT DO NOTHING
)
INSERT INTO writes
SELECT target.thread_id, s.ns, s.checkpoint_id, s.task_id, s.idx, s.task_path, s.channel, s.kind,
       s.data
  FROM target, writes s WHERE s.thread_id = %(source)s
ON CONFLICT DO NOTHING;

-- keep_latest --
-- Keep each namespace's newest checkpoint, its writes and its blobs. A thread with a DeltaChannel
-- is left alone: its newest checkpoint is rebuilt from its ancestors' writes.
WITH newest AS (
    SELECT DISTINCT ON (thread_id, ns) thread_id, ns, checkpoint_id, blob_ids,
           EXISTS (SELECT FROM threads t
                    WHERE t.thread_id = c.thread_id AND c.ns = '' AND t.head = c.checkpoint_id)
           AS is_head
      FROM checkpoints c
     WHERE thread_id = ANY (%(thread_ids)s)
       AND NOT EXISTS (SELECT FROM checkpoints d
                        WHERE d.thread_id = c.thread_id
                          AND d.metadata ? 'counters_since_delta_snapshot')
     ORDER BY thread_id, ns, is_head DESC, written DESC, place DESC, checkpoint_id DESC
), gone AS (
    DELETE FROM checkpoints c
     WHERE c.thread_id IN (SELECT thread_id FROM newest)
       AND (c.thread_id, c.ns, c.checkpoint_id)
           NOT IN (SELECT thread_id, ns, checkpoint_id FROM newest)
    RETURNING c.thread_id, c.ns, c.checkpoint_id
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
)
DELETE FROM blobs b
 WHERE b.thread_id IN (SELECT thread_id FROM newest)
   AND NOT EXISTS (SELECT FROM newest n
                    WHERE n.thread_id = b.thread_id AND b.blob_id = ANY (n.blob_ids));

-- create_thread --
-- No row means that it exists already.
INSERT INTO threads (thread_id, owner, metadata, config, ttl_minutes, ttl_strategy)
VALUES (%(thread_id)s, %(owner)s, %(metadata)s, %(config)s, %(ttl_minutes)s, %(ttl_strategy)s)
ON CONFLICT DO NOTHING
RETURNING *;

-- get_thread --
SELECT * FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s;

-- search_threads --
-- One page and, on each row, the number of all matches. A page past the end has none to carry it.
SELECT *, count(*) OVER () AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(metadata)s
   AND (%(ids)s::text[] = '{}' OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY
   CASE WHEN %(order)s = 'created_at desc' THEN created_at END DESC,
   CASE WHEN %(order)s = 'created_at asc' THEN created_at END,
   CASE WHEN %(order)s = 'updated_at desc' THEN updated_at END DESC,
   CASE WHEN %(order)s = 'updated_at asc' THEN updated_at END,
   CASE WHEN %(order)s = 'status desc' THEN status END DESC,
   CASE WHEN %(order)s = 'status asc' THEN status END,
   CASE WHEN %(order)s LIKE '%% desc' THEN thread_id END DESC,
   thread_id
 LIMIT %(limit)s OFFSET %(offset)s;

-- count_threads --
SELECT count(*) AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(metadata)s
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
