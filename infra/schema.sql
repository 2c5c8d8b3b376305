-- What the migrations make, for reading. Written by `make schema`; a test compares the two.

CREATE TYPE public.claimed_1 AS (
	place bigint,
	thread_id text,
	owner text,
	seq bigint,
	active boolean,
	lease_until timestamp with time zone,
	wake_at timestamp with time zone,
	now timestamp with time zone,
	fence bigint,
	attempts integer,
	thread_head text,
	told bigint,
	thread_calls bigint,
	thread_tokens bigint,
	thread_usd numeric,
	thread_tool_calls bigint,
	run_id text,
	assistant_id text,
	graph_id text,
	run_metadata jsonb,
	kwargs jsonb,
	input_applied boolean,
	stop_at integer,
	multitask_strategy text,
	created_at timestamp with time zone,
	updated_at timestamp with time zone,
	calls bigint,
	tokens bigint,
	usd numeric,
	tool_calls bigint,
	failures integer,
	payload jsonb,
	ns text,
	checkpoint_id text,
	parent_id text,
	metadata jsonb,
	blob_ids bytea[],
	lists jsonb,
	writes bytea[],
	body bytea,
	blobs bytea[],
	items bytea[],
	rests_as text,
	interrupts jsonb
);

CREATE FUNCTION public.add_events_1(of_run text, of_fence bigint, kept bigint, last bigint, e_name text[], e_data bytea[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM events e WHERE e.run_id = of_run AND e.seq > kept AND e.fence < of_fence;
    INSERT INTO events (run_id, seq, fence, name, data)
    SELECT of_run, last - cardinality(e_name) + e.place, of_fence, e.name, e.data
      FROM unnest(e_name, e_data) WITH ORDINALITY AS e (name, data, place);
END $$;

CREATE FUNCTION public.add_rows_1(of_thread text, at timestamp with time zone, writer text, c_ns text[], c_id text[], c_parent text[], c_metadata jsonb[], c_blobs text[], c_body bytea[], c_lists jsonb[], b_id bytea[], b_kind text[], b_data bytea[], i_list bigint[], i_start integer[], i_count integer[], i_data bytea[], w_ns text[], w_checkpoint text[], w_task text[], w_idx integer[], w_path text[], w_channel text[], w_kind text[], w_data bytea[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.advance_1(thread_id text, fence bigint, lease double precision DEFAULT NULL::double precision, steps integer DEFAULT 0, ends boolean DEFAULT false, edits boolean DEFAULT false, again boolean DEFAULT false, owner text DEFAULT NULL::text, seq bigint DEFAULT NULL::bigint, run_id text DEFAULT NULL::text, run_status text DEFAULT NULL::text, thread_status text DEFAULT NULL::text, wake_in double precision DEFAULT NULL::double precision, head text DEFAULT NULL::text, interrupts jsonb DEFAULT '{}'::jsonb, error jsonb DEFAULT NULL::jsonb, input_applied boolean DEFAULT false, stop_at integer DEFAULT NULL::integer, failures integer DEFAULT NULL::integer, spent jsonb DEFAULT NULL::jsonb, calls bigint DEFAULT 0, tokens bigint DEFAULT 0, usd numeric DEFAULT 0, tool_calls bigint DEFAULT 0, c_ns text[] DEFAULT NULL::text[], c_id text[] DEFAULT NULL::text[], c_parent text[] DEFAULT NULL::text[], c_metadata jsonb[] DEFAULT NULL::jsonb[], c_blobs text[] DEFAULT NULL::text[], c_body bytea[] DEFAULT NULL::bytea[], c_lists jsonb[] DEFAULT NULL::jsonb[], b_id bytea[] DEFAULT NULL::bytea[], b_kind text[] DEFAULT NULL::text[], b_data bytea[] DEFAULT NULL::bytea[], i_list bigint[] DEFAULT NULL::bigint[], i_start integer[] DEFAULT NULL::integer[], i_count integer[] DEFAULT NULL::integer[], i_data bytea[] DEFAULT NULL::bytea[], w_ns text[] DEFAULT NULL::text[], w_checkpoint text[] DEFAULT NULL::text[], w_task text[] DEFAULT NULL::text[], w_idx integer[] DEFAULT NULL::integer[], w_path text[] DEFAULT NULL::text[], w_channel text[] DEFAULT NULL::text[], w_kind text[] DEFAULT NULL::text[], w_data bytea[] DEFAULT NULL::bytea[], e_name text[] DEFAULT NULL::text[], e_data bytea[] DEFAULT NULL::bytea[]) RETURNS TABLE(next_seq bigint, active boolean, due_in double precision, watched boolean, next_fence bigint, told bigint, thread_calls bigint, thread_tokens bigint, thread_usd numeric, thread_tool_calls bigint, run_calls bigint, run_tokens bigint, run_usd numeric, run_tool_calls bigint)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.advance_2(thread_id text, fence bigint, run_id text, owner text, seq bigint, lease double precision, steps integer, ends boolean, edits boolean, again boolean, head text, input_applied boolean, stop_at integer, run_status text, thread_status text, wake_in double precision, interrupts jsonb, error jsonb, failures integer, spent jsonb, calls bigint, tokens bigint, usd numeric, tool_calls bigint, c_ns text[], c_id text[], c_parent text[], c_metadata jsonb[], c_blobs text[], c_body bytea[], c_lists jsonb[], b_id bytea[], b_kind text[], b_data bytea[], i_list bigint[], i_start bigint[], i_count bigint[], i_data bytea[], w_ns text[], w_checkpoint text[], w_task text[], w_idx bigint[], w_path text[], w_channel text[], w_kind text[], w_data bytea[], e_name text[], e_data bytea[]) RETURNS TABLE(next_seq bigint, active boolean, due_in double precision, watched boolean, next_fence bigint, told bigint, thread_calls bigint, thread_tokens bigint, thread_usd numeric, thread_tool_calls bigint, run_calls bigint, run_tokens bigint, run_usd numeric, run_tool_calls bigint)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.blobs_of(of_thread text, ids bytea[]) RETURNS bytea[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT array_agg(ARRAY[b.blob_id, convert_to(b.kind, 'UTF8'), b.data])
          FROM blobs b
         WHERE b.thread_id = of_thread AND b.blob_id = ANY (ids)
    );
END $$;

CREATE FUNCTION public.claim_1(p_threads text[], p_seqs bigint[], p_cached text[], p_lease double precision, p_stopped boolean, p_now timestamp with time zone) RETURNS SETOF public.claimed_1
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.claim_2(p_threads text[], p_seqs bigint[], p_cached text[], p_lease double precision, p_stopped boolean, p_now timestamp with time zone) RETURNS SETOF public.claimed_1
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.items_of(of_thread text, lists jsonb) RETURNS bytea[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (SELECT array_agg(part) FROM parts_of(of_thread, lists) AS part);
END $$;

CREATE FUNCTION public.less(room double precision[], costs double precision[]) RETURNS double precision[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT array_agg(r - cost ORDER BY n)
      FROM unnest(room, costs) WITH ORDINALITY AS x (r, cost, n)
$$;

CREATE FUNCTION public.parts_of(of_thread text, lists jsonb) RETURNS SETOF bytea[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
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

CREATE FUNCTION public.refilled(room double precision[], since interval, caps double precision[], rates double precision[]) RETURNS double precision[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT array_agg(least(cap, r + rate * greatest(extract(epoch FROM since), 0)) ORDER BY n)
      FROM unnest(room, caps, rates) WITH ORDINALITY AS x (r, cap, rate, n)
$$;

CREATE FUNCTION public.run_ends() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.ended_at := clock_timestamp();
    IF NEW.kwargs ? 'webhook' THEN
        INSERT INTO webhooks (run_id, url) VALUES (NEW.run_id, NEW.kwargs ->> 'webhook')
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.seconds_short(room double precision[], needs double precision[], rates double precision[]) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT max((need - r) / rate) FROM unnest(room, needs, rates) AS x (r, need, rate)
$$;

CREATE FUNCTION public.unfinished_1(of_owner text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(of_owner, 0));
    RETURN (SELECT count(*) FROM runs
             WHERE owner = of_owner AND status IN ('pending', 'running'));
END
$$;

CREATE FUNCTION public.writes_of(of_thread text, of_ns text, of_checkpoint text) RETURNS bytea[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT array_agg(ARRAY[convert_to(w.task_id, 'UTF8'), convert_to(w.task_path, 'UTF8'),
                               convert_to(w.idx::text, 'UTF8'), convert_to(w.channel, 'UTF8'),
                               convert_to(w.kind, 'UTF8'), w.data])
          FROM writes w
         WHERE w.thread_id = of_thread AND w.ns = of_ns AND w.checkpoint_id = of_checkpoint
    );
END $$;

CREATE TABLE public.api_keys (
    key_id text NOT NULL,
    owner text NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone
);

CREATE TABLE public.assistant_versions (
    owner text NOT NULL,
    assistant_id text NOT NULL,
    version integer NOT NULL,
    graph_id text NOT NULL,
    config jsonb NOT NULL,
    context jsonb NOT NULL,
    metadata jsonb NOT NULL,
    name text NOT NULL,
    description text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.assistants (
    owner text NOT NULL,
    assistant_id text NOT NULL,
    graph_id text NOT NULL,
    config jsonb NOT NULL,
    context jsonb NOT NULL,
    metadata jsonb NOT NULL,
    name text NOT NULL,
    description text,
    version integer DEFAULT 1 NOT NULL,
    newest integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.batch_calls (
    call_key text NOT NULL,
    owner text NOT NULL,
    thread_id text NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    node text NOT NULL,
    model text NOT NULL,
    request jsonb NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    taken_at timestamp with time zone,
    batch_id text,
    result jsonb,
    asked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.blobs (
    thread_id text NOT NULL,
    blob_id bytea NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL
);

CREATE UNLOGGED TABLE public.buckets (
    bucket text NOT NULL,
    room double precision[] NOT NULL,
    at timestamp with time zone NOT NULL,
    paused_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    promised timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

CREATE TABLE public.checkpoints (
    thread_id text NOT NULL,
    ns text NOT NULL,
    checkpoint_id text NOT NULL,
    parent_id text,
    written timestamp with time zone NOT NULL,
    place integer NOT NULL,
    metadata jsonb NOT NULL,
    blob_ids bytea[] DEFAULT '{}'::bytea[] NOT NULL,
    body bytea NOT NULL,
    lists jsonb DEFAULT '{}'::jsonb NOT NULL
);

CREATE TABLE public.connections (
    connection_id text NOT NULL,
    owner text NOT NULL,
    caller jsonb,
    ends_at timestamp with time zone NOT NULL
);

CREATE TABLE public.crons (
    cron_id text NOT NULL,
    owner text NOT NULL,
    assistant_id text NOT NULL,
    thread_id text,
    schedule text NOT NULL,
    timezone text,
    end_time timestamp with time zone,
    enabled boolean NOT NULL,
    on_run_completed text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    kwargs jsonb DEFAULT '{}'::jsonb NOT NULL,
    multitask_strategy text DEFAULT 'enqueue'::text NOT NULL,
    next_run_date timestamp with time zone,
    error jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    stamp jsonb DEFAULT '{}'::jsonb NOT NULL,
    made_assistant text,
    CONSTRAINT crons_on_run_completed_check CHECK ((on_run_completed = ANY (ARRAY['delete'::text, 'keep'::text])))
);

CREATE TABLE public.documents (
    collection text DEFAULT 'default'::text NOT NULL,
    path text NOT NULL,
    chunk integer NOT NULL,
    heading text NOT NULL,
    body text NOT NULL,
    digest text NOT NULL,
    words tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('english'::regconfig, heading), 'A'::"char") || setweight(to_tsvector('english'::regconfig, body), 'B'::"char"))) STORED NOT NULL
);

CREATE TABLE public.events (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    fence bigint NOT NULL,
    name text NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE public.items (
    thread_id text NOT NULL,
    list_id bigint NOT NULL,
    start integer NOT NULL,
    count integer NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE public.memories (
    effect_key text NOT NULL,
    owner text NOT NULL,
    fact text NOT NULL,
    words tsvector GENERATED ALWAYS AS (to_tsvector('english'::regconfig, fact)) STORED NOT NULL,
    remembered_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.order_changes (
    effect_key text NOT NULL,
    owner text NOT NULL,
    order_id text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    reason text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.orders (
    owner text NOT NULL,
    order_id text NOT NULL,
    item text NOT NULL,
    status text DEFAULT 'placed'::text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT orders_status_check CHECK ((status = ANY (ARRAY['placed'::text, 'shipped'::text, 'delivered'::text, 'cancelled'::text, 'returned'::text])))
);

CREATE TABLE public.outbox (
    effect_key text NOT NULL,
    owner text NOT NULL,
    recipient text NOT NULL,
    body text NOT NULL,
    put_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.runs (
    run_id text NOT NULL,
    thread_id text NOT NULL,
    owner text NOT NULL,
    assistant_id text NOT NULL,
    graph_id text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    kwargs jsonb DEFAULT '{}'::jsonb NOT NULL,
    multitask_strategy text DEFAULT 'enqueue'::text NOT NULL,
    input_applied boolean DEFAULT false NOT NULL,
    stop_at integer,
    head text,
    error jsonb,
    idempotency_key text,
    request_hash text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    calls bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    usd numeric DEFAULT 0 NOT NULL,
    ended_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    tool_calls bigint DEFAULT 0 NOT NULL,
    due_at timestamp with time zone,
    CONSTRAINT runs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'success'::text, 'error'::text, 'timeout'::text, 'interrupted'::text])))
);

CREATE TABLE public.store (
    prefix text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamp with time zone,
    ttl_minutes integer
);

CREATE TABLE public.subscriptions (
    thread_id text NOT NULL,
    run_id text DEFAULT ''::text NOT NULL,
    connection_id text NOT NULL,
    channels text[] DEFAULT '{}'::text[] NOT NULL,
    cursor bigint NOT NULL,
    ended_after timestamp with time zone NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.threads (
    thread_id text NOT NULL,
    owner text NOT NULL,
    status text DEFAULT 'idle'::text NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * '1000000'::numeric))::bigint NOT NULL,
    lease_until timestamp with time zone,
    wake_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    active_run_id text,
    queued text[] DEFAULT '{}'::text[] NOT NULL,
    head text,
    rung_at timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    interrupts jsonb DEFAULT '{}'::jsonb NOT NULL,
    error jsonb,
    ttl_minutes double precision,
    ttl_strategy text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    events bigint DEFAULT 0 NOT NULL,
    events_kept bigint DEFAULT 0 NOT NULL,
    calls bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    usd numeric DEFAULT 0 NOT NULL,
    rests_as text,
    watched_until timestamp with time zone,
    thinned text,
    tool_calls bigint DEFAULT 0 NOT NULL,
    expires_at timestamp with time zone GENERATED ALWAYS AS (
CASE
    WHEN ((ttl_strategy = 'delete'::text) AND (active_run_id IS NULL)) THEN (((updated_at AT TIME ZONE 'UTC'::text) + (LEAST(ttl_minutes, (5270400)::double precision) * '00:01:00'::interval)) AT TIME ZONE 'UTC'::text)
    ELSE NULL::timestamp with time zone
END) STORED,
    CONSTRAINT threads_status_check CHECK ((status = ANY (ARRAY['idle'::text, 'busy'::text, 'interrupted'::text, 'error'::text]))),
    CONSTRAINT threads_ttl_strategy_check CHECK ((ttl_strategy = ANY (ARRAY['delete'::text, 'keep_latest'::text])))
)
WITH (fillfactor='70');

CREATE UNLOGGED TABLE public.turns (
    owner text NOT NULL,
    due timestamp with time zone NOT NULL
);

CREATE TABLE public.usage (
    call_id text NOT NULL,
    owner text NOT NULL,
    thread_id text NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    node text NOT NULL,
    model text NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    usd numeric,
    ms integer NOT NULL,
    lost boolean NOT NULL,
    spent_at timestamp with time zone DEFAULT now() NOT NULL,
    open boolean DEFAULT false NOT NULL
);

CREATE TABLE public.walks (
    name text NOT NULL,
    place text DEFAULT ''::text NOT NULL
);

CREATE TABLE public.webhooks (
    run_id text NOT NULL,
    url text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    error text,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT webhooks_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);

CREATE TABLE public.writes (
    thread_id text NOT NULL,
    ns text NOT NULL,
    checkpoint_id text NOT NULL,
    task_id text NOT NULL,
    idx integer NOT NULL,
    task_path text NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL,
    run_id text,
    was_kind text,
    was_data bytea
);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.assistant_versions
    ADD CONSTRAINT assistant_versions_pkey PRIMARY KEY (owner, assistant_id, version);

ALTER TABLE ONLY public.assistants
    ADD CONSTRAINT assistants_pkey PRIMARY KEY (owner, assistant_id);

ALTER TABLE ONLY public.batch_calls
    ADD CONSTRAINT batch_calls_pkey PRIMARY KEY (call_key);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (thread_id, blob_id);

ALTER TABLE ONLY public.buckets
    ADD CONSTRAINT buckets_pkey PRIMARY KEY (bucket);

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (thread_id, ns, checkpoint_id);

ALTER TABLE ONLY public.connections
    ADD CONSTRAINT connections_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY public.crons
    ADD CONSTRAINT crons_pkey PRIMARY KEY (cron_id);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (collection, path, chunk);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_pkey PRIMARY KEY (thread_id, list_id, start);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.order_changes
    ADD CONSTRAINT order_changes_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (owner, order_id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (prefix, key);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (thread_id, run_id, connection_id);

ALTER TABLE ONLY public.threads
    ADD CONSTRAINT threads_pkey PRIMARY KEY (thread_id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (owner);

ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (call_id);

ALTER TABLE ONLY public.walks
    ADD CONSTRAINT walks_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_pkey PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx);

CREATE INDEX api_keys_owner ON public.api_keys USING btree (owner);

CREATE INDEX batch_calls_asked ON public.batch_calls USING btree (asked_at) WHERE (taken_at IS NULL);

CREATE INDEX batch_calls_open ON public.batch_calls USING btree (batch_id) WHERE (result IS NULL);

CREATE INDEX batch_calls_run ON public.batch_calls USING btree (run_id);

CREATE INDEX batch_calls_thread ON public.batch_calls USING btree (thread_id);

CREATE INDEX checkpoints_run ON public.checkpoints USING btree (((metadata ->> 'run_id'::text)));

CREATE INDEX connections_ends ON public.connections USING btree (ends_at);

CREATE INDEX crons_assistant ON public.crons USING btree (owner, made_assistant) WHERE (made_assistant IS NOT NULL);

CREATE INDEX crons_due ON public.crons USING btree (next_run_date) WHERE (next_run_date IS NOT NULL);

CREATE INDEX crons_owner ON public.crons USING btree (owner, created_at DESC);

CREATE INDEX crons_thread ON public.crons USING btree (thread_id) WHERE (thread_id IS NOT NULL);

CREATE INDEX documents_words ON public.documents USING gin (words);

CREATE INDEX idx_store_expires_at ON public.store USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX memories_owner ON public.memories USING btree (owner, remembered_at DESC);

CREATE INDEX order_changes_order ON public.order_changes USING btree (owner, order_id);

CREATE INDEX outbox_owner ON public.outbox USING btree (owner, put_at DESC);

CREATE INDEX runs_ended ON public.runs USING btree (updated_at) WHERE (status <> ALL (ARRAY['pending'::text, 'running'::text]));

CREATE UNIQUE INDEX runs_idempotency ON public.runs USING btree (owner, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX runs_thread ON public.runs USING btree (thread_id, created_at DESC);

CREATE INDEX runs_unfinished ON public.runs USING btree (owner) WHERE (status = ANY (ARRAY['pending'::text, 'running'::text]));

CREATE INDEX store_prefix_idx ON public.store USING btree (prefix text_pattern_ops);

CREATE INDEX subscriptions_connection ON public.subscriptions USING btree (connection_id);

CREATE INDEX threads_active ON public.threads USING btree (thread_id) WHERE (active_run_id IS NOT NULL);

CREATE INDEX threads_expire ON public.threads USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX threads_metadata ON public.threads USING gin (metadata jsonb_path_ops);

CREATE INDEX threads_owner ON public.threads USING btree (owner, created_at DESC);

CREATE INDEX usage_open ON public.usage USING btree (thread_id) WHERE open;

CREATE INDEX usage_owner ON public.usage USING btree (owner, spent_at);

CREATE INDEX usage_run ON public.usage USING btree (run_id);

CREATE INDEX usage_spent_at ON public.usage USING btree (spent_at);

CREATE INDEX webhooks_due ON public.webhooks USING btree (due) WHERE (status = 'pending'::text);

CREATE TRIGGER run_ends BEFORE UPDATE OF status ON public.runs FOR EACH ROW WHEN (((old.status = ANY (ARRAY['pending'::text, 'running'::text])) AND (new.status <> ALL (ARRAY['pending'::text, 'running'::text])))) EXECUTE FUNCTION public.run_ends();

ALTER TABLE ONLY public.assistant_versions
    ADD CONSTRAINT assistant_versions_owner_assistant_id_fkey FOREIGN KEY (owner, assistant_id) REFERENCES public.assistants(owner, assistant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.batch_calls
    ADD CONSTRAINT batch_calls_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.batch_calls
    ADD CONSTRAINT batch_calls_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.crons
    ADD CONSTRAINT crons_owner_made_assistant_fkey FOREIGN KEY (owner, made_assistant) REFERENCES public.assistants(owner, assistant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.crons
    ADD CONSTRAINT crons_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_changes
    ADD CONSTRAINT order_changes_owner_order_id_fkey FOREIGN KEY (owner, order_id) REFERENCES public.orders(owner, order_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connections(connection_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;
