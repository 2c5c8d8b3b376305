-- Counts for /metrics: of what is under way by its own small indexes, of the past the last hour.

-- part takeable --
-- A thread `t` whose step anybody may take.
(t.lease_until IS NULL OR t.lease_until <= clock.now) AND (t.wake_at IS NULL OR t.wake_at <= clock.now)

-- census --
-- How things stand. Threads at rest are not counted: the planner's statistics know about how many wait.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), active AS (
    SELECT count(*) FILTER (WHERE {takeable}) AS due_steps,
           coalesce(extract(epoch FROM max(clock.now - coalesce(t.wake_at, t.updated_at))
                                       FILTER (WHERE {takeable})), 0)::float8 AS oldest_due,
           count(*) FILTER (WHERE t.lease_until > clock.now) AS steps_under_way,
           count(*) FILTER (WHERE t.wake_at > clock.now) AS sleeping
      FROM threads t, clock WHERE t.active_run_id IS NOT NULL
), waiting AS (
    SELECT coalesce(sum(c.reltuples * known.share), 0)::bigint AS waiting
      FROM pg_class c
      JOIN pg_stats s ON s.schemaname = current_schema() AND s.tablename = c.relname
     CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs)
                     AS known (status, share)
     WHERE c.oid = 'threads'::regclass AND s.attname = 'status' AND known.status = 'interrupted'
), unfinished AS (
    SELECT coalesce(jsonb_object_agg(status, n), '{}') AS unfinished FROM (
        SELECT status, count(*) AS n FROM runs
         WHERE status IN ('pending', 'running') GROUP BY status) by_status
), ended AS (
    SELECT coalesce(jsonb_object_agg(status, n), '{}') AS ended FROM (
        SELECT r.status, count(*) AS n FROM runs r, clock
         WHERE r.status NOT IN ('pending', 'running')
           AND r.updated_at > clock.now - interval '1 hour'
         GROUP BY r.status) by_status
), spent AS (
    SELECT count(*) AS model_calls,
           coalesce(sum(u.input_tokens + u.output_tokens), 0)::bigint AS tokens,
           coalesce(sum(u.usd), 0) AS usd
      FROM usage u, clock WHERE u.spent_at > clock.now - interval '1 hour'
)
SELECT * FROM active, waiting, unfinished, ended, spent;
