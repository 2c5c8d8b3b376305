-- Steps cost Postgres less. `advance_2` has no defaults, which would be read anew with each call, and
-- sets what only the end of a run changes at the end of one; `claim_2` looks for a run that is to
-- begin only where one may.

-- Takes the lease of steps and loads what each starts from; without a claim, the thread as it
-- stands. What is read is read after the update, so that it is what the row says, also if that
-- waited for another transaction. Threads are locked in one order: two batches never wait for each
-- other. Of a checkpoint that the caller has (`p_cached`) no values are sent; of another, the items
-- of its lists come in rows that follow, a part in each.
CREATE FUNCTION claim_2(
    p_threads text[], p_seqs bigint[], p_cached text[], p_lease double precision, p_stopped boolean,
    p_now timestamptz
) RETURNS SETOF claimed_1 LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    job record;
    moment timestamptz;
    mine bigint;
    claimed claimed_1;
    more claimed_1;
BEGIN
    FOR job IN
        SELECT j.id, j.step, j.known, j.nr
          FROM unnest(p_threads, p_seqs, p_cached) WITH ORDINALITY AS j (id, step, known, nr)
         ORDER BY 1, 4
    LOOP
        moment := coalesce(p_now, clock_timestamp());
        mine := NULL;
        UPDATE threads t
           SET fence = t.fence + 1,
               lease_until = moment + make_interval(secs => p_lease),
               events_kept = CASE WHEN t.attempts = 0 THEN t.events ELSE t.events_kept END,
               -- An attempt that died may have told numbers it did not write: they are nobody's.
               events = CASE WHEN t.attempts = 0 THEN t.events ELSE t.events + 1000000 END,
               attempts = t.attempts + 1
         WHERE t.thread_id = job.id
           AND t.seq = job.step
           AND t.active_run_id IS NOT NULL
           AND (t.lease_until IS NULL OR t.lease_until <= moment)
           AND (t.wake_at IS NULL OR t.wake_at <= moment)
           AND NOT p_stopped
        RETURNING t.fence INTO mine;
        SELECT job.nr, t.thread_id, t.owner, t.seq, t.active_run_id IS NOT NULL, t.lease_until,
               t.wake_at, moment, mine, t.attempts, t.head, t.events, t.calls, t.tokens, t.usd,
               t.tool_calls,
               r.run_id, r.assistant_id, r.graph_id, r.metadata, r.kwargs, r.input_applied,
               r.stop_at, r.multitask_strategy, r.created_at, r.updated_at, r.calls, r.tokens,
               r.usd, r.tool_calls, r.failures, CASE WHEN NOT r.input_applied THEN r.payload END,
               c.ns, c.checkpoint_id, c.parent_id, c.metadata, c.blob_ids, c.lists,
               writes_of(c.thread_id, c.ns, c.checkpoint_id),
               CASE WHEN needed THEN c.body END,
               CASE WHEN needed THEN blobs_of(c.thread_id, c.blob_ids) END,
               NULL::bytea[], t.rests_as, CASE WHEN NOT r.input_applied THEN t.interrupts END
          INTO claimed
          FROM threads t
          LEFT JOIN runs r ON mine IS NOT NULL AND r.run_id = t.active_run_id
          LEFT JOIN checkpoints c
            ON r.run_id IS NOT NULL AND c.thread_id = t.thread_id AND c.ns = ''
           AND c.checkpoint_id = coalesce(
                   CASE WHEN NOT r.input_applied THEN r.kwargs ->> 'checkpoint_id' END, t.head)
         CROSS JOIN LATERAL (
               SELECT c.checkpoint_id IS DISTINCT FROM job.known AS needed) x
         WHERE t.thread_id = job.id;
        CONTINUE WHEN NOT FOUND;
        IF NOT claimed.input_applied THEN
            UPDATE runs SET status = 'running', updated_at = moment
             WHERE run_id = claimed.run_id AND status = 'pending';
        END IF;
        RETURN NEXT claimed;
        CONTINUE WHEN claimed.body IS NULL;
        more.place := job.nr;
        FOR more.items IN SELECT parts_of(claimed.thread_id, claimed.lists) LOOP
            RETURN NEXT more;
        END LOOP;
    END LOOP;
END $$;

-- Saves a step and moves the thread on; no row means the claim was lost. The lease is released, or
-- taken anew for the step that follows (`lease`, in seconds): its claim is answered with the save.
CREATE FUNCTION advance_2(
    thread_id text, fence bigint, run_id text, owner text, seq bigint, lease double precision,
    steps integer, ends boolean, edits boolean, again boolean, head text, input_applied boolean,
    stop_at integer, run_status text, thread_status text, wake_in double precision,
    interrupts jsonb, error jsonb, failures integer,
    spent jsonb, calls bigint, tokens bigint, usd numeric, tool_calls bigint,
    c_ns text[], c_id text[], c_parent text[], c_metadata jsonb[], c_blobs text[], c_body bytea[],
    c_lists jsonb[],
    b_id bytea[], b_kind text[], b_data bytea[],
    i_list bigint[], i_start bigint[], i_count bigint[], i_data bytea[],
    w_ns text[], w_checkpoint text[], w_task text[], w_idx bigint[], w_path text[],
    w_channel text[], w_kind text[], w_data bytea[],
    e_name text[], e_data bytea[]
) RETURNS TABLE (
    next_seq bigint, active boolean, due_in double precision, watched boolean,
    next_fence bigint, told bigint, thread_calls bigint, thread_tokens bigint, thread_usd numeric,
    thread_tool_calls bigint, run_calls bigint, run_tokens bigint, run_usd numeric,
    run_tool_calls bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    kept bigint;
    mine record;
BEGIN
    IF e_name IS NOT NULL THEN  -- no claim that would change it can come before the update below
        SELECT t.events_kept INTO kept FROM threads t WHERE t.thread_id = advance_2.thread_id;
    END IF;
    UPDATE threads t
       SET seq = t.seq + advance_2.steps,
           fence = t.fence + 1,
           lease_until = moment + make_interval(secs => lease),
           attempts = CASE WHEN again THEN t.attempts WHEN lease IS NULL THEN 0 ELSE 1 END,
           wake_at = CASE WHEN edits THEN t.wake_at
                          ELSE moment + make_interval(secs => wake_in) END,
           rung_at = NULL,
           head = coalesce(advance_2.head, t.head),
           events = t.events + coalesce(cardinality(e_name), 0),
           events_kept = CASE WHEN lease IS NULL THEN t.events_kept
                              ELSE t.events + coalesce(cardinality(e_name), 0) END,
           calls = t.calls + advance_2.calls,
           tokens = t.tokens + advance_2.tokens,
           usd = t.usd + advance_2.usd,
           tool_calls = t.tool_calls + advance_2.tool_calls,
           updated_at = moment
     WHERE t.thread_id = advance_2.thread_id AND t.fence = advance_2.fence
    RETURNING t.seq, t.fence, t.active_run_id, t.head, t.wake_at, t.events, t.watched_until,
              t.calls, t.tokens, t.usd, t.tool_calls
         INTO mine;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF ends OR edits THEN
        UPDATE threads t
           SET active_run_id = CASE WHEN ends THEN t.queued[1] ELSE t.active_run_id END,
               queued = CASE WHEN ends THEN t.queued[2:] ELSE t.queued END,
               wake_at = CASE WHEN ends
                              THEN (SELECT r.due_at FROM runs r WHERE r.run_id = t.queued[1])
                              ELSE t.wake_at END,
               status = CASE WHEN ends AND t.queued[1] IS NOT NULL THEN 'busy'
                             WHEN ends OR t.active_run_id IS NULL THEN thread_status
                             ELSE t.status END,
               rests_as = thread_status,
               interrupts = advance_2.interrupts,
               error = CASE WHEN thread_status = 'error' THEN advance_2.error END
         WHERE t.thread_id = advance_2.thread_id
        RETURNING t.active_run_id, t.wake_at INTO mine.active_run_id, mine.wake_at;
    END IF;
    IF ends OR input_applied OR stop_at IS NOT NULL OR failures IS NOT NULL OR spent IS NOT NULL
    THEN
        UPDATE runs r
           SET status = CASE WHEN ends THEN run_status ELSE r.status END,
               input_applied = r.input_applied OR advance_2.input_applied,
               stop_at = coalesce(advance_2.stop_at, r.stop_at),
               head = CASE WHEN ends THEN mine.head ELSE r.head END,
               error = CASE WHEN ends THEN advance_2.error ELSE r.error END,
               calls = r.calls + advance_2.calls,
               tokens = r.tokens + advance_2.tokens,
               usd = r.usd + advance_2.usd,
               tool_calls = r.tool_calls + advance_2.tool_calls,
               failures = coalesce(advance_2.failures, r.failures),
               updated_at = moment
         WHERE r.run_id = advance_2.run_id;
    END IF;
    IF spent IS NOT NULL THEN
        INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                           output_tokens, cached_tokens, usd, ms, lost)
        SELECT s.call_id, advance_2.owner, advance_2.thread_id, advance_2.run_id, advance_2.seq,
               s.node, s.model, s.input_tokens, s.output_tokens, s.cached_tokens, s.usd, s.ms, false
          FROM jsonb_to_recordset(spent)
               AS s (call_id text, node text, model text, input_tokens int, output_tokens int,
                     cached_tokens int, usd numeric, ms int)
        ON CONFLICT (call_id) DO UPDATE  -- it was on record before it was made: see open_call
           SET model = excluded.model, input_tokens = excluded.input_tokens,
               output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens,
               usd = excluded.usd, ms = excluded.ms, lost = excluded.lost, open = false
         WHERE usage.open;
    END IF;
    PERFORM add_rows_1(
        advance_2.thread_id, moment, advance_2.run_id,
        c_ns, c_id, c_parent, c_metadata, c_blobs, c_body, c_lists, b_id, b_kind, b_data,
        i_list, i_start::int[], i_count::int[], i_data,
        w_ns, w_checkpoint, w_task, w_idx::int[], w_path, w_channel, w_kind, w_data);
    IF e_name IS NOT NULL THEN
        PERFORM add_events_1(
            advance_2.run_id, advance_2.fence, kept, mine.events, e_name, e_data);
    END IF;
    IF lease IS NOT NULL THEN
        SELECT mine.fence, mine.events, mine.calls, mine.tokens, mine.usd, mine.tool_calls,
               r.calls, r.tokens, r.usd, r.tool_calls
          INTO next_fence, told, thread_calls, thread_tokens, thread_usd, thread_tool_calls,
               run_calls, run_tokens, run_usd, run_tool_calls
          FROM runs r WHERE r.run_id = advance_2.run_id;
    END IF;
    next_seq := mine.seq;
    active := mine.active_run_id IS NOT NULL;
    due_in := extract(epoch FROM mine.wake_at - clock_timestamp());
    watched := coalesce(mine.watched_until > clock_timestamp(), false);
    RETURN NEXT;
END $$;
