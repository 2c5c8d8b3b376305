-- What runs tell.

-- tell --
-- Store events of a step that is still running; no row means the claim was lost.
WITH mine AS (
    UPDATE threads SET events = events + %(told)s
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING events, events_kept, watched_until
){events}
SELECT coalesce(watched_until > clock_timestamp(), false) AS watched FROM mine;

-- part events if telling --
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
