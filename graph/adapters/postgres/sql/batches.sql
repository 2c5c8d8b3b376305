-- Model calls that batches answer.

-- ask_batch --
WITH made AS (
    INSERT INTO batch_calls (call_key, owner, thread_id, run_id, seq, node, model, request)
    VALUES (%(key)s, %(owner)s, %(thread_id)s, %(run_id)s, %(seq)s, %(node)s, %(model)s,
            %(request)s)
    ON CONFLICT DO NOTHING
    RETURNING *
)
SELECT * FROM made UNION ALL SELECT * FROM batch_calls WHERE call_key = %(key)s LIMIT 1;

-- find_batch_call --
SELECT * FROM batch_calls WHERE call_key = %(key)s;

-- take_batch --
WITH next AS (
    SELECT call_key FROM batch_calls
     WHERE taken_at IS NULL
     ORDER BY asked_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE batch_calls b SET taken_at = clock_timestamp(), tries = tries + 1 FROM next
 WHERE b.call_key = next.call_key
RETURNING b.*;

-- batch_sent --
UPDATE batch_calls SET batch_id = %(batch_id)s
 WHERE call_key = ANY(%(keys)s::text[]) AND result IS NULL;

-- batch_unsent --
UPDATE batch_calls SET taken_at = NULL, batch_id = NULL
 WHERE call_key = ANY(%(keys)s::text[]) AND result IS NULL;

-- forget_batch --
UPDATE batch_calls SET taken_at = NULL, batch_id = NULL
 WHERE batch_id = %(batch_id)s AND result IS NULL;

-- open_batches --
SELECT DISTINCT batch_id FROM batch_calls WHERE result IS NULL AND batch_id IS NOT NULL;

-- unsure_batch_calls --
SELECT call_key, taken_at FROM batch_calls
 WHERE result IS NULL AND batch_id IS NULL
   AND taken_at < clock_timestamp() - make_interval(secs => %(older_than)s);

-- known_batches --
SELECT DISTINCT batch_id FROM batch_calls WHERE batch_id = ANY(%(batch_ids)s::text[]);

-- answer_batch_call --
-- Keep the answer once, count what it cost, and let the thread that waits for it go on.
WITH answered AS (
    UPDATE batch_calls SET result = %(result)s
     WHERE call_key = %(key)s AND result IS NULL
    RETURNING owner, thread_id, run_id, seq, node, model
), spent AS (
    INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                       output_tokens, cached_tokens, usd, ms, lost)
    SELECT %(key)s, owner, thread_id, run_id, seq, node, %(model)s, %(input_tokens)s::int,
           %(output_tokens)s::int, %(cached_tokens)s::int, %(usd)s::numeric, 0, false
      FROM answered WHERE %(model)s::text IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING run_id, input_tokens + output_tokens AS tokens, coalesce(usd, 0) AS usd
), run AS (
    UPDATE runs r SET calls = calls + 1, tokens = r.tokens + s.tokens, usd = r.usd + s.usd
      FROM spent s WHERE r.run_id = s.run_id
), thread AS (
    UPDATE threads t
       SET calls = t.calls + coalesce((SELECT 1 FROM spent), 0),
           tokens = t.tokens + coalesce((SELECT tokens FROM spent), 0),
           usd = t.usd + coalesce((SELECT usd FROM spent), 0),
           wake_at = CASE WHEN t.active_run_id = a.run_id THEN NULL ELSE t.wake_at END,
           updated_at = CASE WHEN t.active_run_id = a.run_id THEN clock_timestamp()
                             ELSE t.updated_at END
      FROM answered a WHERE t.thread_id = a.thread_id
    RETURNING t.thread_id, t.seq, t.owner, t.active_run_id = a.run_id AS waits
)
SELECT thread_id, seq, owner FROM thread WHERE waits;
