-- The step protocol; claim_2 and advance_2 are in infra/migrations/0018_step.sql.

-- claim --
-- Take the leases of steps and load what each starts from, or how their threads stand.
SELECT * FROM claim_2(%(threads)s, %(seqs)s, %(cached)s, %(lease)s, %(stopped)s, %(now)s);

-- advance --
-- Save a step and move the thread on; no row means the claim was lost.
SELECT * FROM advance_2(
    %(thread_id)s, %(fence)s, %(run_id)s, %(owner)s, %(seq)s, %(lease)s,
    %(steps)s, %(ends)s, %(edits)s, %(again)s, %(head)s, %(input_applied)s,
    %(stop_at)s, %(run_status)s, %(thread_status)s, %(wake_in)s,
    %(interrupts)s, %(error)s, %(failures)s,
    %(spent)s, %(calls)s, %(tokens)s, %(usd)s, %(tool_calls)s,
    %(c_ns)s, %(c_id)s, %(c_parent)s, %(c_metadata)s, %(c_blobs)s, %(c_body)s, %(c_lists)s,
    %(b_id)s, %(b_kind)s, %(b_data)s,
    %(i_list)s, %(i_start)s, %(i_count)s, %(i_data)s,
    %(w_ns)s, %(w_checkpoint)s, %(w_task)s, %(w_idx)s, %(w_path)s, %(w_channel)s,
    %(w_kind)s, %(w_data)s,
    %(e_name)s, %(e_data)s);

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

-- give_back --
-- As if a claim had not been, but the thread sleeps for a while.
UPDATE threads
   SET fence = fence + 1, lease_until = NULL, attempts = greatest(attempts - 1, 0), rung_at = NULL,
       wake_at = clock_timestamp() + make_interval(secs => %(wait)s)
 WHERE thread_id = %(thread_id)s AND fence = %(fence)s;

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
)
SELECT {rows} FROM mine;

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
    RETURNING starts_with(model, 'tool:') AS is_tool, input_tokens + output_tokens AS tokens, usd
), total AS (
    SELECT count(*) FILTER (WHERE NOT is_tool) AS calls,
           count(*) FILTER (WHERE is_tool) AS tool_calls,
           coalesce(sum(tokens), 0) AS tokens, coalesce(sum(usd), 0) AS usd
      FROM spent
), thread AS (
    UPDATE threads t
       SET calls = t.calls + total.calls, tokens = t.tokens + total.tokens, usd = t.usd + total.usd,
           tool_calls = t.tool_calls + total.tool_calls
      FROM total
     WHERE t.thread_id = %(thread_id)s AND t.owner = %(owner)s
)
UPDATE runs r
   SET calls = r.calls + total.calls, tokens = r.tokens + total.tokens, usd = r.usd + total.usd,
       tool_calls = r.tool_calls + total.tool_calls
  FROM total
 WHERE r.run_id = %(run_id)s;
