-- Webhooks: the trigger run_ends writes what is owed, in the statement that ends a run.

-- take_webhook --
-- Take a delivery that is due; the run it tells of comes with it.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), w AS (
    UPDATE webhooks
       SET attempts = attempts + 1, due = clock.now + make_interval(secs => %(lease)s),
           updated_at = clock.now
      FROM clock
     WHERE run_id = %(run_id)s AND status = 'pending' AND due <= clock.now
    RETURNING webhooks.*
)
SELECT r.*, w.url, w.status AS w_status, w.attempts, w.due, w.error AS w_error,
       w.updated_at AS w_updated
  FROM w JOIN runs r USING (run_id);

-- settle_webhook --
-- How an attempt went; no row means that a later one was taken meanwhile.
UPDATE webhooks
   SET status = %(status)s, error = %(w_error)s, updated_at = clock_timestamp(),
       due = clock_timestamp() + make_interval(secs => %(again_in)s)
 WHERE run_id = %(run_id)s AND attempts = %(attempts)s AND status = 'pending'
RETURNING run_id;

-- get_webhook --
SELECT w.run_id, w.url, w.status AS w_status, w.attempts, w.due, w.error AS w_error,
       w.updated_at AS w_updated
  FROM webhooks w JOIN runs r USING (run_id)
 WHERE r.run_id = %(run_id)s AND r.thread_id = %(thread_id)s AND r.owner = %(owner)s;

-- overdue_webhooks --
SELECT w.run_id, r.owner
  FROM webhooks w JOIN runs r USING (run_id)
 WHERE w.status = 'pending'
   AND w.due < coalesce(%(now)s::timestamptz, clock_timestamp())
               - make_interval(secs => %(grace)s)
 ORDER BY w.due
 LIMIT %(limit)s;
