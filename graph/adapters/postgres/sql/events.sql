-- What runs tell.

-- tell --
-- Store events of a step that is still running; no row means the claim was lost.
WITH mine AS (
    UPDATE threads SET events = events + %(told)s
     WHERE thread_id = %(thread_id)s AND fence = %(fence)s
    RETURNING events, events_kept, watched_until
)
SELECT coalesce(watched_until > clock_timestamp(), false) AS watched,
       add_events_1(%(run_id)s, %(fence)s, events_kept, events, %(e_name)s, %(e_data)s)
  FROM mine;

-- heard --
-- What runs told after a number each, and how they stand; runs that are gone are left out.
SELECT r.run_id, r.owner, r.status, r.error, r.head,
       coalesce((SELECT max(seq) FROM events WHERE run_id = r.run_id), 0) AS last,
       e.seq, e.name, e.data
  FROM unnest(%(run_ids)s::text[], %(after)s::bigint[]) AS asked (run_id, after)
  JOIN runs r USING (run_id)
  LEFT JOIN LATERAL (
       SELECT seq, name, data FROM events
        WHERE run_id = r.run_id AND seq > asked.after
        ORDER BY seq LIMIT %(limit)s) e ON true
 ORDER BY r.run_id, e.seq;
