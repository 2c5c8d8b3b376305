-- API keys and owners' quotas.

-- add_key --
INSERT INTO api_keys (key_id, owner, name, digest, created_at, expires_at)
VALUES (%(key_id)s, %(owner)s, %(name)s, %(digest)s, %(created_at)s, %(expires_at)s);

-- use_key --
-- The use is noted once an hour: a row that every request writes would be hot.
WITH used AS (
    UPDATE api_keys SET last_used_at = coalesce(%(now)s::timestamptz, clock_timestamp())
     WHERE key_id = %(key_id)s AND digest = %(digest)s
       AND (expires_at IS NULL OR expires_at > coalesce(%(now)s::timestamptz, clock_timestamp()))
       AND (last_used_at IS NULL
            OR last_used_at <= coalesce(%(now)s::timestamptz, clock_timestamp()) - interval '1 hour')
)
SELECT * FROM api_keys
 WHERE key_id = %(key_id)s
   AND (expires_at IS NULL OR expires_at > coalesce(%(now)s::timestamptz, clock_timestamp()));

-- list_keys --
SELECT * FROM api_keys
 WHERE %(owner)s::text IS NULL OR owner = %(owner)s
 ORDER BY created_at, key_id;

-- end_key --
UPDATE api_keys
   SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %(after)s))
 WHERE key_id = %(key_id)s
RETURNING *;

-- take_turn --
-- A token bucket as one time: it is full at `due`, and each token taken moves that on.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now,
           make_interval(secs => %(every)s) AS every
), taken AS (
    INSERT INTO turns (owner, due) SELECT %(owner)s, now + every FROM clock
    ON CONFLICT (owner) DO UPDATE
       SET due = greatest(turns.due + (SELECT every FROM clock), excluded.due)
     WHERE turns.due <= (SELECT now + every * (%(burst)s - 1) FROM clock)
    RETURNING owner
)
SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN NULL
            ELSE extract(epoch FROM coalesce(turns.due - every * (%(burst)s - 1) - now, every))::float8
            END AS wait
  FROM clock LEFT JOIN turns ON turns.owner = %(owner)s;
