-- Threads, for clients.

-- create_thread --
-- No row means that it exists already.
INSERT INTO threads (thread_id, owner, metadata, config, ttl_minutes, ttl_strategy)
VALUES (%(thread_id)s, %(owner)s, %(metadata)s, %(config)s, %(ttl_minutes)s, %(ttl_strategy)s)
ON CONFLICT DO NOTHING
RETURNING *;

-- get_thread --
SELECT * FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s;

-- search_threads --
-- One page and, on each row, the number of all matches. A page past the end has none to carry it.
SELECT *, count(*) OVER () AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(metadata)s
   AND (%(ids)s::text[] = '{}' OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY
   CASE WHEN %(order)s = 'created_at desc' THEN created_at END DESC,
   CASE WHEN %(order)s = 'created_at asc' THEN created_at END,
   CASE WHEN %(order)s = 'updated_at desc' THEN updated_at END DESC,
   CASE WHEN %(order)s = 'updated_at asc' THEN updated_at END,
   CASE WHEN %(order)s = 'status desc' THEN status END DESC,
   CASE WHEN %(order)s = 'status asc' THEN status END,
   CASE WHEN %(order)s LIKE '%% desc' THEN thread_id END DESC,
   thread_id
 LIMIT %(limit)s OFFSET %(offset)s;

-- count_threads --
SELECT count(*) AS total
  FROM threads
 WHERE owner = %(owner)s
   AND metadata @> %(metadata)s
   AND (%(ids)s::text[] = '{}' OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s);

-- update_thread --
UPDATE threads
   SET metadata = metadata || coalesce(%(metadata)s::jsonb, '{}'),
       ttl_minutes = coalesce(%(ttl_minutes)s, ttl_minutes),
       ttl_strategy = coalesce(%(ttl_strategy)s, ttl_strategy),
       updated_at = clock_timestamp()
 WHERE thread_id = %(thread_id)s AND owner = %(owner)s
RETURNING *;

-- delete_thread --
DELETE FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s RETURNING thread_id;
