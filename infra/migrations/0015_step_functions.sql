-- What every step sends, as functions: Postgres keeps their plans in its sessions, which a proxy
-- shares among all clients, so that no step is parsed and planned anew. A function that changes gets
-- the next number; the old one stays until no code that still runs calls it.

CREATE FUNCTION add_rows_1(
    of_thread text, at timestamptz, writer text,
    c_ns text[], c_id text[], c_parent text[], c_metadata jsonb[], c_blobs text[], c_body bytea[],
    c_lists jsonb[],
    b_id bytea[], b_kind text[], b_data bytea[],
    i_list bigint[], i_start int[], i_count int[], i_data bytea[],
    w_ns text[], w_checkpoint text[], w_task text[], w_idx int[], w_path text[], w_channel text[],
    w_kind text[], w_data bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(c_id) > 0 THEN
        INSERT INTO checkpoints
               (thread_id, ns, checkpoint_id, parent_id, written, place, metadata, blob_ids, body,
                lists)
        SELECT of_thread, c.ns, c.id, c.parent_id, at, c.place, c.metadata, c.blob_ids::bytea[],
               c.body, c.lists
          FROM unnest(c_ns, c_id, c_parent, c_metadata, c_blobs, c_body, c_lists)
               WITH ORDINALITY AS c (ns, id, parent_id, metadata, blob_ids, body, lists, place)
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(b_id) > 0 THEN
        INSERT INTO blobs (thread_id, blob_id, kind, data)
        SELECT of_thread, b.id, b.kind, b.data
          FROM unnest(b_id, b_kind, b_data) AS b (id, kind, data)
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(i_list) > 0 THEN
        -- Nobody else has gone on there: what is there already is a fork, and no update of it.
        INSERT INTO items (thread_id, list_id, start, count, data)
        SELECT of_thread, i.list_id, i.start, i.count, i.data
          FROM unnest(i_list, i_start, i_count, i_data) AS i (list_id, start, count, data);
    END IF;
    IF cardinality(w_ns) > 0 THEN
        INSERT INTO writes
               (thread_id, ns, checkpoint_id, task_id, idx, task_path, channel, kind, data, run_id)
        SELECT of_thread, w.ns, w.checkpoint_id, w.task_id, w.idx, w.task_path, w.channel, w.kind,
               w.data, writer
          FROM unnest(w_ns, w_checkpoint, w_task, w_idx, w_path, w_channel, w_kind, w_data)
               AS w (ns, checkpoint_id, task_id, idx, task_path, channel, kind, data)
        ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) DO UPDATE
           SET channel = excluded.channel, kind = excluded.kind, data = excluded.data,
               run_id = excluded.run_id,
               was_kind = CASE WHEN writes.run_id IS DISTINCT FROM excluded.run_id
                               THEN writes.kind ELSE writes.was_kind END,
               was_data = CASE WHEN writes.run_id IS DISTINCT FROM excluded.run_id
                               THEN writes.data ELSE writes.was_data END
         WHERE writes.idx < 0;
    END IF;
END $$;

-- Stores the thread's newest events, up to number `last`, instead of those above `kept` that an
-- earlier attempt at the step told and died.
CREATE FUNCTION add_events_1(
    of_run text, of_fence bigint, kept bigint, last bigint, e_name text[], e_data bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM events e WHERE e.run_id = of_run AND e.seq > kept AND e.fence < of_fence;
    INSERT INTO events (run_id, seq, fence, name, data)
    SELECT of_run, last - cardinality(e_name) + e.place, of_fence, e.name, e.data
      FROM unnest(e_name, e_data) WITH ORDINALITY AS e (name, data, place);
END $$;

ALTER TABLE runs ADD COLUMN due_at timestamptz;  -- not to begin before, also when its turn comes

-- For each list the items that it needs, in parts of 64 positions: its id, the first position, how
-- many, where the list ends, and the items. Large values are copied many times on their way out.
CREATE FUNCTION parts_of(of_thread text, lists jsonb) RETURNS SETOF bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN QUERY
    WITH needed AS (
        SELECT (span ->> 0)::bigint AS id, min((span ->> 1)::int) AS first,
               max((span ->> 2)::int) AS stop
          FROM jsonb_each(lists) AS channel, jsonb_array_elements(channel.value) AS span
         GROUP BY 1
    )
    SELECT ARRAY[int8send(n.id), int4send(part.start), int4send(part.count), int4send(tip.stop),
                 part.data]
      FROM needed n
     CROSS JOIN LATERAL (
           SELECT max(i.start) AS start FROM items i
            WHERE i.thread_id = of_thread AND i.list_id = n.id AND i.start <= n.first) head
     CROSS JOIN LATERAL (
           SELECT i.start + i.count AS stop FROM items i
            WHERE i.thread_id = of_thread AND i.list_id = n.id
            ORDER BY i.start DESC LIMIT 1) tip
     CROSS JOIN generate_series(head.start / 64, (n.stop - 1) / 64) AS nr
     CROSS JOIN LATERAL (
           SELECT min(i.start) AS start, sum(i.count)::int AS count,
                  string_agg(i.data, '' ORDER BY i.start) AS data
             FROM items i
            WHERE i.thread_id = of_thread AND i.list_id = n.id
              AND i.start >= greatest(head.start, nr * 64) AND i.start < least(n.stop, nr * 64 + 64)
           HAVING count(*) > 0) part;
END $$;

CREATE OR REPLACE FUNCTION items_of(of_thread text, lists jsonb) RETURNS bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT array_agg(part) FROM parts_of(of_thread, lists) AS part);
END $$;

CREATE TYPE claimed_1 AS (
    place bigint, thread_id text, owner text, seq bigint, active boolean, lease_until timestamptz,
    wake_at timestamptz, now timestamptz, fence bigint, attempts integer, thread_head text,
    told bigint, thread_calls bigint, thread_tokens bigint, thread_usd numeric,
    thread_tool_calls bigint,
    run_id text, assistant_id text, graph_id text, run_metadata jsonb, kwargs jsonb,
    input_applied boolean, stop_at integer, multitask_strategy text, created_at timestamptz,
    updated_at timestamptz, calls bigint, tokens bigint, usd numeric, tool_calls bigint,
    failures integer, payload jsonb,
    ns text, checkpoint_id text, parent_id text, metadata jsonb, blob_ids bytea[], lists jsonb,
    writes bytea[], body bytea, blobs bytea[], items bytea[], rests_as text, interrupts jsonb
);

-- Takes the lease of steps and loads what each starts from; without a claim, the thread as it
-- stands. What is read is read after the update, so that it is what the row says, also if that
-- waited for another transaction. Threads are locked in one order: two batches never wait for each
-- other. Of a checkpoint that the caller has (`p_cached`) no values are sent; of another, the items
-- of its lists come in rows that follow, a part in each.
CREATE FUNCTION claim_1(
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
        IF mine IS NOT NULL THEN
            UPDATE runs r SET status = 'running', updated_at = moment
              FROM threads t
             WHERE t.thread_id = job.id AND r.run_id = t.active_run_id AND r.status = 'pending';
        END IF;
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
CREATE FUNCTION advance_1(
    thread_id text, fence bigint, lease double precision DEFAULT NULL, steps integer DEFAULT 0, ends boolean DEFAULT false,
    edits boolean DEFAULT false, again boolean DEFAULT false, owner text DEFAULT NULL,
    seq bigint DEFAULT NULL, run_id text DEFAULT NULL, run_status text DEFAULT NULL,
    thread_status text DEFAULT NULL, wake_in double precision DEFAULT NULL,
    head text DEFAULT NULL, interrupts jsonb DEFAULT '{}', error jsonb DEFAULT NULL,
    input_applied boolean DEFAULT false, stop_at integer DEFAULT NULL,
    failures integer DEFAULT NULL, spent jsonb DEFAULT NULL, calls bigint DEFAULT 0,
    tokens bigint DEFAULT 0, usd numeric DEFAULT 0, tool_calls bigint DEFAULT 0,
    c_ns text[] DEFAULT NULL, c_id text[] DEFAULT NULL, c_parent text[] DEFAULT NULL,
    c_metadata jsonb[] DEFAULT NULL, c_blobs text[] DEFAULT NULL, c_body bytea[] DEFAULT NULL,
    c_lists jsonb[] DEFAULT NULL, b_id bytea[] DEFAULT NULL, b_kind text[] DEFAULT NULL,
    b_data bytea[] DEFAULT NULL, i_list bigint[] DEFAULT NULL, i_start int[] DEFAULT NULL,
    i_count int[] DEFAULT NULL, i_data bytea[] DEFAULT NULL, w_ns text[] DEFAULT NULL,
    w_checkpoint text[] DEFAULT NULL, w_task text[] DEFAULT NULL, w_idx int[] DEFAULT NULL,
    w_path text[] DEFAULT NULL, w_channel text[] DEFAULT NULL, w_kind text[] DEFAULT NULL,
    w_data bytea[] DEFAULT NULL, e_name text[] DEFAULT NULL, e_data bytea[] DEFAULT NULL
) RETURNS TABLE (
    next_seq bigint, active boolean, due_in double precision, watched boolean,
    next_fence bigint, told bigint, thread_calls bigint, thread_tokens bigint, thread_usd numeric,
    thread_tool_calls bigint, run_calls bigint, run_tokens bigint, run_usd numeric,
    run_tool_calls bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    settles boolean := advance_1.ends OR advance_1.edits;
    kept bigint;
    mine record;
BEGIN
    IF e_name IS NOT NULL THEN  -- no claim that would change it can come before the update below
        SELECT t.events_kept INTO kept FROM threads t WHERE t.thread_id = advance_1.thread_id;
    END IF;
    UPDATE threads t
       SET seq = t.seq + advance_1.steps,
           fence = t.fence + 1,
           lease_until = moment + make_interval(secs => lease),
           attempts = CASE WHEN again THEN t.attempts WHEN lease IS NULL THEN 0 ELSE 1 END,
           wake_at = CASE WHEN edits THEN t.wake_at
                          WHEN ends THEN (SELECT r.due_at FROM runs r WHERE r.run_id = t.queued[1])
                          ELSE moment + make_interval(secs => wake_in) END,
           rung_at = NULL,
           head = coalesce(advance_1.head, t.head),
           events = t.events + coalesce(cardinality(e_name), 0),
           events_kept = CASE WHEN lease IS NULL THEN t.events_kept
                              ELSE t.events + coalesce(cardinality(e_name), 0) END,
           calls = t.calls + advance_1.calls,
           tokens = t.tokens + advance_1.tokens,
           usd = t.usd + advance_1.usd,
           tool_calls = t.tool_calls + advance_1.tool_calls,
           active_run_id = CASE WHEN ends THEN t.queued[1] ELSE t.active_run_id END,
           queued = CASE WHEN ends THEN t.queued[2:] ELSE t.queued END,
           status = CASE WHEN ends AND t.queued[1] IS NOT NULL THEN 'busy'
                         WHEN ends OR (settles AND t.active_run_id IS NULL) THEN thread_status
                         ELSE t.status END,
           rests_as = CASE WHEN settles THEN thread_status ELSE t.rests_as END,
           interrupts = CASE WHEN settles THEN advance_1.interrupts ELSE t.interrupts END,
           error = CASE WHEN NOT settles THEN t.error
                        WHEN thread_status = 'error' THEN advance_1.error END,
           updated_at = moment
     WHERE t.thread_id = advance_1.thread_id AND t.fence = advance_1.fence
    RETURNING t.seq, t.fence, t.active_run_id, t.head, t.wake_at, t.events, t.watched_until,
              t.calls, t.tokens, t.usd, t.tool_calls
         INTO mine;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF run_id IS NOT NULL THEN
        UPDATE runs r
           SET status = CASE WHEN ends THEN run_status ELSE r.status END,
               input_applied = r.input_applied OR advance_1.input_applied,
               stop_at = coalesce(advance_1.stop_at, r.stop_at),
               head = CASE WHEN ends THEN mine.head ELSE r.head END,
               error = CASE WHEN ends THEN advance_1.error ELSE r.error END,
               calls = r.calls + advance_1.calls,
               tokens = r.tokens + advance_1.tokens,
               usd = r.usd + advance_1.usd,
               tool_calls = r.tool_calls + advance_1.tool_calls,
               failures = coalesce(advance_1.failures, r.failures),
               updated_at = moment
         WHERE r.run_id = advance_1.run_id
           AND (ends OR NOT r.input_applied OR spent IS NOT NULL
                OR advance_1.failures IS NOT NULL);
    END IF;
    IF spent IS NOT NULL THEN
        INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                           output_tokens, cached_tokens, usd, ms, lost)
        SELECT s.call_id, advance_1.owner, advance_1.thread_id, advance_1.run_id, advance_1.seq,
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
        advance_1.thread_id, moment, advance_1.run_id,
        c_ns, c_id, c_parent, c_metadata, c_blobs, c_body, c_lists, b_id, b_kind, b_data,
        i_list, i_start, i_count, i_data,
        w_ns, w_checkpoint, w_task, w_idx, w_path, w_channel, w_kind, w_data);
    IF e_name IS NOT NULL THEN
        PERFORM add_events_1(
            advance_1.run_id, advance_1.fence, kept, mine.events, e_name, e_data);
    END IF;
    IF lease IS NOT NULL THEN
        SELECT mine.fence, mine.events, mine.calls, mine.tokens, mine.usd, mine.tool_calls,
               r.calls, r.tokens, r.usd, r.tool_calls
          INTO next_fence, told, thread_calls, thread_tokens, thread_usd, thread_tool_calls,
               run_calls, run_tokens, run_usd, run_tool_calls
          FROM runs r WHERE r.run_id = advance_1.run_id;
    END IF;
    next_seq := mine.seq;
    active := mine.active_run_id IS NOT NULL;
    due_in := extract(epoch FROM mine.wake_at - clock_timestamp());
    watched := coalesce(mine.watched_until > clock_timestamp(), false);
    RETURN NEXT;
END $$;
