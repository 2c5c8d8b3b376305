-- Rate limits of models, and calls that are on record before they are made.

-- reserve --
-- Take from the bucket that is fullest. The row decides again when another call came in between.
-- Who is refused gets a time of its own, after those who were refused before.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), pool AS (
    SELECT name AS bucket, now, x.room,
           greatest(seconds_short(x.room, %(needs)s, %(rates)s),
                    extract(epoch FROM b.paused_until - now)::float8) AS short
      FROM clock
      CROSS JOIN unnest(%(buckets)s::text[]) AS name
      LEFT JOIN buckets b ON b.bucket = name
      CROSS JOIN LATERAL (
           SELECT coalesce(refilled(b.room, now - b.at, %(caps)s, %(rates)s), %(caps)s) AS room) x
), taken AS (
    INSERT INTO buckets AS b (bucket, room, at)
    (SELECT bucket, less(room, %(costs)s), now FROM pool WHERE short <= 0 ORDER BY short LIMIT 1)
    ON CONFLICT (bucket) DO UPDATE
       SET room = less(refilled(b.room, excluded.at - b.at, %(caps)s, %(rates)s), %(costs)s),
           at = greatest(b.at, excluded.at)
     WHERE b.paused_until <= excluded.at
       AND seconds_short(refilled(b.room, excluded.at - b.at, %(caps)s, %(rates)s),
                         %(needs)s, %(rates)s) <= 0
    RETURNING b.bucket, b.room
), refused AS (
    UPDATE buckets b
       SET promised = greatest(b.promised, p.now + make_interval(secs => greatest(p.short, 0)))
                      + make_interval(secs => %(takes)s)
      FROM (SELECT * FROM pool ORDER BY short LIMIT 1) p
     WHERE b.bucket = p.bucket AND NOT EXISTS (SELECT FROM taken)
    RETURNING extract(epoch FROM b.promised - p.now)::float8 AS wait
)
SELECT (SELECT bucket FROM taken) AS bucket, (SELECT room FROM taken) AS room,
       (SELECT wait FROM refused) AS wait;

-- settle --
UPDATE buckets
   SET room = less(room, %(more)s),
       paused_until = CASE WHEN %(pause)s > 0
                           THEN greatest(paused_until,
                                         clock_timestamp() + make_interval(secs => %(pause)s))
                           ELSE paused_until END
 WHERE bucket = %(bucket)s;

-- open_call --
INSERT INTO usage (call_id, owner, thread_id, run_id, seq, node, model, input_tokens,
                   output_tokens, cached_tokens, usd, ms, lost, open)
VALUES (%(call_id)s, %(owner)s, %(thread_id)s, %(run_id)s, %(seq)s, %(node)s, %(model)s,
        %(input_tokens)s, %(output_tokens)s, %(cached_tokens)s, %(usd)s, %(ms)s, true, true);

-- drop_call --
DELETE FROM usage WHERE call_id = %(call_id)s AND open;

-- charge_open --
-- Count as lost what is open; by the thread, or by its age.
WITH late AS (
    SELECT call_id FROM usage
     WHERE open AND ((thread_id, owner) = (%(thread_id)s, %(owner)s)
                     OR spent_at < clock_timestamp() - make_interval(secs => %(older_than)s))
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), counted AS (
    UPDATE usage u SET open = false FROM late WHERE u.call_id = late.call_id
    RETURNING u.thread_id, u.owner, u.run_id, input_tokens + output_tokens AS tokens, usd
), by_run AS (
    SELECT thread_id, owner, run_id, count(*) AS calls, sum(tokens)::bigint AS tokens,
           coalesce(sum(usd), 0) AS usd
      FROM counted GROUP BY 1, 2, 3
), by_thread AS (
    SELECT thread_id, owner, sum(calls) AS calls, sum(tokens) AS tokens, sum(usd) AS usd
      FROM by_run GROUP BY 1, 2
), thread AS (
    UPDATE threads t
       SET calls = t.calls + b.calls, tokens = t.tokens + b.tokens, usd = t.usd + b.usd
      FROM by_thread b WHERE t.thread_id = b.thread_id AND t.owner = b.owner
), run AS (
    UPDATE runs r
       SET calls = r.calls + b.calls, tokens = r.tokens + b.tokens, usd = r.usd + b.usd
      FROM by_run b WHERE r.run_id = b.run_id
)
SELECT run_id, calls, tokens, usd FROM by_run;

-- prune_usage --
WITH late AS (
    SELECT call_id FROM usage
     WHERE spent_at < coalesce(%(now)s::timestamptz, clock_timestamp())
                      - make_interval(secs => %(older_than)s)
     ORDER BY spent_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM usage u USING late WHERE u.call_id = late.call_id RETURNING u.call_id;
