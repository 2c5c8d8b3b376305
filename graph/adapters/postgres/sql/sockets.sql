-- Connections, and what they follow.

-- connect --
INSERT INTO connections (connection_id, owner, caller, ends_at)
VALUES (%(connection_id)s, %(owner)s, %(caller)s,
        clock_timestamp() + make_interval(secs => %(lasts)s))
ON CONFLICT (connection_id) DO UPDATE
   SET owner = excluded.owner, caller = excluded.caller, ends_at = excluded.ends_at;

-- disconnect --
DELETE FROM connections WHERE connection_id = ANY (%(connection_ids)s);

-- connected --
SELECT owner, caller FROM connections
 WHERE connection_id = %(connection_id)s AND ends_at > clock_timestamp();

-- subscribe --
-- The thread's row is updated so that whoever moves it on meanwhile comes before or knows of this.
-- Who came before is not seen by what reads runs here, so a run may have ended a little before now.
WITH connection AS (
    SELECT c.connection_id, (SELECT count(*) FROM subscriptions s
                              WHERE s.connection_id = c.connection_id) AS held
      FROM connections c
     WHERE c.connection_id = %(connection_id)s AND c.owner = %(owner)s
       AND c.ends_at > clock_timestamp()
), t AS (
    UPDATE threads
       SET watched_until = clock_timestamp() + make_interval(secs => %(lasts)s)
      FROM connection
     WHERE thread_id = %(thread_id)s AND owner = %(owner)s AND held < %(most)s
       AND (%(run_id)s = '' OR EXISTS (
               SELECT FROM runs r WHERE r.run_id = %(run_id)s AND r.thread_id = %(thread_id)s))
    RETURNING thread_id, events, connection_id, clock_timestamp() AS now
), new AS (
    INSERT INTO subscriptions (thread_id, run_id, connection_id, channels, cursor, ended_after)
    SELECT t.thread_id, %(run_id)s, t.connection_id, %(channels)s,
           least(t.events, coalesce(%(since)s::bigint,
                                    CASE WHEN %(run_id)s = '' THEN t.events ELSE 0 END)),
           CASE WHEN %(run_id)s <> ''
                THEN coalesce((SELECT r.ended_at - interval '1 microsecond'
                                 FROM runs r WHERE r.run_id = %(run_id)s),
                              statement_timestamp() - interval '1 minute')
                WHEN %(since)s::bigint IS NULL THEN t.now
                ELSE coalesce((
                    SELECT max(r.ended_at) FROM runs r
                     WHERE r.thread_id = t.thread_id
                       AND (SELECT max(e.seq) FROM events e WHERE e.run_id = r.run_id)
                           < %(since)s), to_timestamp(0)) END
      FROM t
    ON CONFLICT (thread_id, run_id, connection_id) DO UPDATE
       SET cursor = excluded.cursor, ended_after = excluded.ended_after,
           channels = excluded.channels, fence = subscriptions.fence + 1,
           lease_until = NULL, failures = 0
    RETURNING cursor
)
SELECT new.cursor, connection.held
  FROM (SELECT 1) one LEFT JOIN connection ON true LEFT JOIN new ON true;

-- unsubscribe --
DELETE FROM subscriptions
 WHERE thread_id = %(thread_id)s AND run_id = %(run_id)s AND connection_id = %(connection_id)s;

-- due_subscriptions --
-- Take what something is to be told to. A thread that nobody follows any more is no longer watched,
-- unless somebody came meanwhile.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), t AS (
    SELECT thread_id, events, watched_until,
           (SELECT max(ended_at) FROM runs r WHERE r.thread_id = threads.thread_id) AS ended
      FROM threads WHERE thread_id = %(thread_id)s
), due AS (
    SELECT s.run_id, s.connection_id
      FROM subscriptions s
      JOIN t USING (thread_id)
      JOIN connections c USING (connection_id), clock
     WHERE c.ends_at > clock.now
       AND (s.lease_until IS NULL OR s.lease_until <= clock.now)
       AND (s.cursor < t.events OR s.ended_after < t.ended)
     LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), unwatched AS (
    UPDATE threads SET watched_until = NULL
      FROM t
     WHERE threads.thread_id = t.thread_id AND threads.watched_until = t.watched_until
       AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.thread_id = t.thread_id)
)
UPDATE subscriptions s
   SET fence = s.fence + 1, lease_until = clock.now + make_interval(secs => %(lease)s)
  FROM due, clock
 WHERE s.thread_id = %(thread_id)s AND s.run_id = due.run_id
   AND s.connection_id = due.connection_id
RETURNING s.*;

-- thread_news --
-- A page of what a thread's runs told, and the runs that ended. What ended before was told whole.
WITH t AS (
    SELECT thread_id, events FROM threads WHERE thread_id = %(thread_id)s
), open AS (
    SELECT r.run_id, r.owner, r.status, r.error, r.ended_at
      FROM runs r JOIN t USING (thread_id)
     WHERE r.ended_at IS NULL OR r.ended_at > %(ended_after)s
), page AS (
    SELECT open.run_id, open.owner, e.*
      FROM open CROSS JOIN LATERAL (
           SELECT seq, name, data FROM events
            WHERE run_id = open.run_id AND seq > %(after)s ORDER BY seq LIMIT %(limit)s) e
     ORDER BY e.seq LIMIT %(limit)s
)
SELECT t.events AS upto, page.run_id, page.owner, page.seq, page.name, page.data,
       NULL AS status, NULL::jsonb AS error, NULL::timestamptz AS ended_at
  FROM t LEFT JOIN page ON true
 UNION ALL
SELECT t.events, open.run_id, open.owner, NULL, NULL, NULL, open.status, open.error, open.ended_at
  FROM t, open WHERE open.ended_at IS NOT NULL
 ORDER BY ended_at, seq;

-- settle_subscriptions --
WITH told AS (
    SELECT * FROM unnest(%(run_ids)s::text[], %(connection_ids)s::text[], %(fences)s::bigint[],
                         %(cursors)s::bigint[], %(ended)s::timestamptz[], %(failures)s::int[],
                         %(over)s::bool[])
             AS told (run_id, connection_id, fence, cursor, ended_after, failures, over)
), over AS (
    DELETE FROM subscriptions s USING told
     WHERE s.thread_id = %(thread_id)s AND s.run_id = told.run_id
       AND s.connection_id = told.connection_id AND s.fence = told.fence AND told.over
)
UPDATE subscriptions s
   SET cursor = told.cursor, ended_after = told.ended_after, failures = told.failures,
       lease_until = clock_timestamp() + make_interval(secs => %(rest)s)
  FROM told
 WHERE s.thread_id = %(thread_id)s AND s.run_id = told.run_id
   AND s.connection_id = told.connection_id AND s.fence = told.fence AND NOT told.over;

-- overdue_subscriptions --
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
)
SELECT DISTINCT t.thread_id, t.owner
  FROM subscriptions s JOIN threads t USING (thread_id), clock
 WHERE (s.lease_until IS NULL OR s.lease_until <= clock.now)
   AND t.updated_at < clock.now - make_interval(secs => %(grace)s)
   AND (s.cursor < t.events OR EXISTS (
           SELECT FROM runs r WHERE r.thread_id = t.thread_id AND r.ended_at > s.ended_after))
 LIMIT %(limit)s;

-- expire_connections --
WITH late AS (
    SELECT connection_id FROM connections
     WHERE ends_at <= coalesce(%(now)s::timestamptz, clock_timestamp())
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM connections c USING late WHERE c.connection_id = late.connection_id
RETURNING c.connection_id;
