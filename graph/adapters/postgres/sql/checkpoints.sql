-- Checkpoints, the blobs they refer to, and pending writes.

-- part rows --
-- The part of a statement that stores checkpoints, blobs and writes for the thread in `mine`.
new_checkpoints AS (
    INSERT INTO checkpoints
           (thread_id, ns, checkpoint_id, parent_id, written, place, metadata, blob_ids, body)
    SELECT mine.thread_id, c.ns, c.id, c.parent_id, mine.written, c.place, c.metadata,
           ARRAY(SELECT decode(b, 'hex') FROM jsonb_array_elements_text(c.blob_ids) b), c.body
      FROM mine, unnest(%(c_ns)s::text[], %(c_id)s::text[], %(c_parent)s::text[],
                        %(c_metadata)s::jsonb[], %(c_blobs)s::jsonb[], %(c_body)b::bytea[])
           WITH ORDINALITY AS c (ns, id, parent_id, metadata, blob_ids, body, place)
    ON CONFLICT DO NOTHING
), new_blobs AS (
    INSERT INTO blobs (thread_id, blob_id, kind, data)
    SELECT mine.thread_id, b.id, b.kind, b.data
      FROM mine, unnest(%(b_id)b::bytea[], %(b_kind)s::text[], %(b_data)b::bytea[])
           AS b (id, kind, data)
    ON CONFLICT DO NOTHING
), new_writes AS (
    INSERT INTO writes
           (thread_id, ns, checkpoint_id, task_id, idx, task_path, channel, kind, data)
    SELECT mine.thread_id, w.ns, w.checkpoint_id, w.task_id, w.idx, w.task_path, w.channel,
           w.kind, w.data
      FROM mine, unnest(%(w_ns)s::text[], %(w_checkpoint)s::text[], %(w_task)s::text[],
                        %(w_idx)s::int[], %(w_path)s::text[], %(w_channel)s::text[],
                        %(w_kind)s::text[], %(w_data)b::bytea[])
           AS w (ns, checkpoint_id, task_id, idx, task_path, channel, kind, data)
    ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) DO UPDATE
       SET channel = excluded.channel, kind = excluded.kind, data = excluded.data
     WHERE writes.idx < 0
)

-- part checkpoint --
-- The part of a statement that reads the checkpoint `c` with its blobs and pending writes.
c.ns, c.checkpoint_id, c.parent_id, c.metadata, c.blob_ids, c.body,
       (SELECT array_agg(ARRAY[b.blob_id, convert_to(b.kind, 'UTF8'), b.data])
          FROM blobs b
         WHERE b.thread_id = c.thread_id AND b.blob_id = ANY (c.blob_ids)) AS blobs,
       (SELECT array_agg(ARRAY[convert_to(w.task_id, 'UTF8'), convert_to(w.task_path, 'UTF8'),
                               convert_to(w.idx::text, 'UTF8'), convert_to(w.channel, 'UTF8'),
                               convert_to(w.kind, 'UTF8'), w.data])
          FROM writes w
         WHERE w.thread_id = c.thread_id AND w.ns = c.ns
           AND w.checkpoint_id = c.checkpoint_id) AS writes

-- load --
-- One checkpoint with its blobs and pending writes; the newest when no id is given.
SELECT c.thread_id, {checkpoint}
  FROM checkpoints c
  LEFT JOIN threads t ON t.thread_id = c.thread_id AND c.ns = ''
 WHERE c.thread_id = %(thread_id)s AND c.ns = %(ns)s
   AND (%(checkpoint_id)s::text IS NULL OR c.checkpoint_id = %(checkpoint_id)s)
 ORDER BY (c.checkpoint_id = t.head) DESC NULLS LAST, c.written DESC, c.place DESC,
          c.checkpoint_id DESC
 LIMIT 1;

-- history --
-- Checkpoints, newest first.
SELECT c.thread_id, {checkpoint}
  FROM checkpoints c
 WHERE (%(thread_id)s::text IS NULL OR c.thread_id = %(thread_id)s)
   AND (%(ns)s::text IS NULL OR c.ns = %(ns)s)
   AND (%(metadata)s::jsonb IS NULL OR c.metadata @> %(metadata)s::jsonb)
   AND (%(before)s::text IS NULL OR (c.written, c.place, c.checkpoint_id) < (
           SELECT b.written, b.place, b.checkpoint_id FROM checkpoints b
            WHERE b.thread_id = c.thread_id AND b.checkpoint_id = %(before)s
            LIMIT 1))
 ORDER BY c.written DESC, c.place DESC, c.checkpoint_id DESC
 LIMIT %(limit)s::bigint;

-- put --
-- Store rows with no claim; the thread is made when it is missing.
WITH mine AS (
    INSERT INTO threads (thread_id, owner, head) VALUES (%(thread_id)s, '', %(head)s)
    ON CONFLICT (thread_id) DO UPDATE SET head = coalesce(%(head)s, threads.head)
    RETURNING thread_id, clock_timestamp() AS written
), {rows}
SELECT thread_id FROM mine;

-- delete_checkpoints --
-- Drop a thread's checkpoints, or those that some runs made, and the blobs nobody refers to.
WITH gone AS (
    DELETE FROM checkpoints
     WHERE thread_id = %(thread_id)s OR metadata ->> 'run_id' = ANY (%(run_ids)s)
    RETURNING thread_id, ns, checkpoint_id
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
), left_over AS (
    SELECT c.thread_id, c.ns, c.checkpoint_id, c.written, c.place, c.blob_ids
      FROM checkpoints c
     WHERE c.thread_id IN (SELECT thread_id FROM gone)
       AND (c.thread_id, c.ns, c.checkpoint_id)
           NOT IN (SELECT thread_id, ns, checkpoint_id FROM gone)
), gone_blobs AS (
    DELETE FROM blobs b
     WHERE b.thread_id IN (SELECT thread_id FROM gone)
       AND NOT EXISTS (SELECT FROM left_over l
                        WHERE l.thread_id = b.thread_id AND b.blob_id = ANY (l.blob_ids))
)
UPDATE threads t
   SET head = (SELECT l.checkpoint_id FROM left_over l
                WHERE l.thread_id = t.thread_id AND l.ns = ''
                ORDER BY l.written DESC, l.place DESC, l.checkpoint_id DESC LIMIT 1)
 WHERE (t.thread_id, t.head) IN (SELECT thread_id, checkpoint_id FROM gone WHERE ns = '');

-- copy_checkpoints --
-- Copy all checkpoints, blobs and writes of a thread to another; the target is made when missing.
WITH target AS (
    INSERT INTO threads (thread_id, owner, head)
    SELECT %(target)s, owner, head FROM threads WHERE thread_id = %(source)s
    ON CONFLICT (thread_id) DO UPDATE SET head = excluded.head
    RETURNING thread_id
), c AS (
    INSERT INTO checkpoints
    SELECT target.thread_id, s.ns, s.checkpoint_id, s.parent_id, s.written, s.place, s.metadata,
           s.blob_ids, s.body
      FROM target, checkpoints s WHERE s.thread_id = %(source)s
    ON CONFLICT DO NOTHING
), b AS (
    INSERT INTO blobs
    SELECT target.thread_id, s.blob_id, s.kind, s.data
      FROM target, blobs s WHERE s.thread_id = %(source)s
    ON CONFLICT DO NOTHING
)
INSERT INTO writes
SELECT target.thread_id, s.ns, s.checkpoint_id, s.task_id, s.idx, s.task_path, s.channel, s.kind,
       s.data
  FROM target, writes s WHERE s.thread_id = %(source)s
ON CONFLICT DO NOTHING;

-- keep_latest --
-- Keep each namespace's newest checkpoint, its writes and its blobs. A thread with a DeltaChannel
-- is left alone: its newest checkpoint is rebuilt from its ancestors' writes.
WITH newest AS (
    SELECT DISTINCT ON (thread_id, ns) thread_id, ns, checkpoint_id, blob_ids,
           EXISTS (SELECT FROM threads t
                    WHERE t.thread_id = c.thread_id AND c.ns = '' AND t.head = c.checkpoint_id)
           AS is_head
      FROM checkpoints c
     WHERE thread_id = ANY (%(thread_ids)s)
       AND NOT EXISTS (SELECT FROM checkpoints d
                        WHERE d.thread_id = c.thread_id
                          AND d.metadata ? 'counters_since_delta_snapshot')
     ORDER BY thread_id, ns, is_head DESC, written DESC, place DESC, checkpoint_id DESC
), gone AS (
    DELETE FROM checkpoints c
     WHERE c.thread_id IN (SELECT thread_id FROM newest)
       AND (c.thread_id, c.ns, c.checkpoint_id)
           NOT IN (SELECT thread_id, ns, checkpoint_id FROM newest)
    RETURNING c.thread_id, c.ns, c.checkpoint_id
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
)
DELETE FROM blobs b
 WHERE b.thread_id IN (SELECT thread_id FROM newest)
   AND NOT EXISTS (SELECT FROM newest n
                    WHERE n.thread_id = b.thread_id AND b.blob_id = ANY (n.blob_ids));
