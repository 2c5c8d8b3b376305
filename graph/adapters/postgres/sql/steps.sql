-- The step protocol.

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
           -- An attempt that died may have told numbers it did not write: they are nobody's.
           events = CASE WHEN t.attempts = 0 THEN t.events ELSE t.events + 1000000 END,
           attempts = t.attempts + 1
      FROM threads seen, clock
     WHERE t.thread_id = %(thread_id)s
       AND seen.thread_id = t.thread_id
       AND t.seq = %(seq)s
       AND t.active_run_id IS NOT NULL
       AND (t.lease_until IS NULL OR t.lease_until <= clock.now)
       AND (t.wake_at IS NULL OR t.wake_at <= clock.now)
       AND NOT %(stopped)s
    RETURNING t.fence, t.attempts, t.head, t.active_run_id, t.events,
              t.updated_at <> seen.updated_at AS stale
), run AS (
    UPDATE runs SET status = 'running', updated_at = clock.now
      FROM claimed, clock
     WHERE run_id = claimed.active_run_id AND status = 'pending'
    RETURNING run_id
)
SELECT t.owner, t.seq, t.active_run_id IS NOT NULL AS active,
       t.lease_until, t.wake_at, clock.now,
       claimed.fence, claimed.attempts, claimed.head AS thread_head, claimed.stale,
       claimed.events AS told,
       r.run_id, r.assistant_id, r.graph_id, r.metadata AS run_metadata, r.kwargs, r.input_applied,
       r.stop_at, r.multitask_strategy, r.created_at, r.updated_at, r.calls, r.tokens, r.usd,
       r.failures, t.calls AS thread_calls, t.tokens AS thread_tokens, t.usd AS thread_usd,
       CASE WHEN NOT r.input_applied THEN r.payload END AS payload,
       c.ns, c.checkpoint_id, c.parent_id, c.metadata, c.blob_ids, c.lists,
       writes_of(c.thread_id, c.ns, c.checkpoint_id) AS writes,
       CASE WHEN needed THEN c.body END AS body,
       CASE WHEN needed THEN blobs_of(c.thread_id, c.blob_ids) END AS blobs,
       CASE WHEN needed THEN items_of(c.thread_id, c.lists) END AS items
  FROM clock
  JOIN threads t ON t.thread_id = %(thread_id)s
  LEFT JOIN claimed ON true
  LEFT JOIN runs r ON r.run_id = claimed.active_run_id
  LEFT JOIN checkpoints c
    ON c.thread_id = t.thread_id AND c.ns = ''
   AND c.checkpoint_id = coalesce(
           CASE WHEN NOT r.input_applied THEN r.kwargs ->> 'checkpoint_id' END, claimed.head)
  LEFT JOIN LATERAL (SELECT c.checkpoint_id IS DISTINCT FROM %(cached)s AS needed) x ON true;

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

-- release --
-- End a hold under which nothing was changed; no row means that it was lost.
UPDATE threads SET fence = fence + 1, lease_until = NULL
 WHERE thread_id = %(thread_id)s AND fence = %(fence)s
RETURNING seq, active_run_id IS NOT NULL AS active,
          extract(epoch FROM wake_at - clock_timestamp())::float8 AS due_in;

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
           updated_at = clock_timestamp(){spending}{settled}
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING thread_id, seq, active_run_id, head, wake_at, events, events_kept, watched_until,
              clock_timestamp() AS written
), {rows}{moved_run}{new_usage}{events}
SELECT seq, active_run_id IS NOT NULL AS active,
       extract(epoch FROM wake_at - clock_timestamp())::float8 AS due_in,
       coalesce(watched_until > clock_timestamp(), false) AS watched
  FROM mine;

-- part settled if settles --
-- What a run that ended, or an edit, makes of the thread.
active_run_id = CASE WHEN %(ends)s THEN queued[1] ELSE active_run_id END,
queued = CASE WHEN %(ends)s THEN queued[2:] ELSE queued END,
status = CASE WHEN %(ends)s AND queued[1] IS NOT NULL THEN 'busy'
              WHEN %(ends)s OR active_run_id IS NULL THEN %(thread_status)s
              ELSE status END,
rests_as = %(thread_status)s,
interrupts = %(interrupts)s::jsonb,
error = %(error)s::jsonb

-- part spending if calls --
calls = calls + %(calls)s, tokens = tokens + %(tokens)s, usd = usd + %(usd)s

-- part moved_run if moves_run --
moved_run AS (
    UPDATE runs
       SET status = CASE WHEN %(ends)s THEN %(run_status)s ELSE status END,
           input_applied = input_applied OR %(input_applied)s,
           stop_at = coalesce(%(stop_at)s, stop_at),
           head = CASE WHEN %(ends)s THEN mine.head ELSE runs.head END,
           error = CASE WHEN %(ends)s THEN %(error)s::jsonb ELSE error END,
           calls = calls + %(calls)s,
           tokens = tokens + %(tokens)s,
           usd = usd + %(usd)s,
           failures = coalesce(%(failures)s::int, failures),
           updated_at = clock_timestamp()
      FROM mine
     WHERE run_id = %(run_id)s
       AND (%(ends)s OR NOT input_applied OR %(calls)s > 0 OR %(failures)s::int IS NOT NULL)
)

-- part new_usage if calls --
new_usage AS (
    INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                       output_tokens, cached_tokens, usd, ms, lost)
    SELECT s.call_id, %(owner)s, mine.thread_id, %(run_id)s, %(seq)s, s.node, s.model,
           s.input_tokens, s.output_tokens, s.cached_tokens, s.usd, s.ms, false
      FROM mine, jsonb_to_recordset(%(spent)s::jsonb)
           AS s (call_id text, node text, model text, input_tokens int, output_tokens int,
                 cached_tokens int, usd numeric, ms int)
    ON CONFLICT (call_id) DO UPDATE  -- it was on record before it was made: see open_call
       SET model = excluded.model, input_tokens = excluded.input_tokens,
           output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens,
           usd = excluded.usd, ms = excluded.ms, lost = excluded.lost, open = false
     WHERE usage.open
)

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
    ON CONFLICT (call_id) DO UPDATE  -- it was on record before it was made: see open_call
       SET model = excluded.model, input_tokens = excluded.input_tokens,
           output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens,
           usd = excluded.usd, ms = excluded.ms, lost = excluded.lost, open = false
     WHERE usage.open
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
