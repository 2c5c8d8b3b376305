-- Checkpoints, the blobs and items they refer to, and pending writes.

-- part rows --
-- The term that stores checkpoints, values and writes for the thread in `mine`.
add_rows_1(mine.thread_id, mine.written, %(run_id)s,
           %(c_ns)s::text[], %(c_id)s::text[], %(c_parent)s::text[], %(c_metadata)s::jsonb[],
           %(c_blobs)s::text[], %(c_body)s::bytea[], %(c_lists)s::jsonb[],
           %(b_id)s::bytea[], %(b_kind)s::text[], %(b_data)s::bytea[],
           %(i_list)s::bigint[], %(i_start)s::int[], %(i_count)s::int[], %(i_data)s::bytea[],
           %(w_ns)s::text[], %(w_checkpoint)s::text[], %(w_task)s::text[], %(w_idx)s::int[],
           %(w_path)s::text[], %(w_channel)s::text[], %(w_kind)s::text[], %(w_data)s::bytea[])

-- part checkpoint --
-- The part of a statement that reads the checkpoint `c` with its values and pending writes.
c.ns, c.checkpoint_id, c.parent_id, c.metadata, c.blob_ids, c.lists, c.body,
       (SELECT o.owner FROM threads o WHERE o.thread_id = c.thread_id) AS owner,
       blobs_of(c.thread_id, c.blob_ids) AS blobs, items_of(c.thread_id, c.lists) AS items,
       writes_of(c.thread_id, c.ns, c.checkpoint_id) AS writes

-- part gone_values --
-- The part of a statement that deletes checkpoints (`gone`) which drops the blobs and items that
-- none of those which stay (`kept`) refers to.
spare_blobs (thread_id, blob_id) AS (
    SELECT thread_id, unnest(blob_ids) FROM gone
    EXCEPT
    SELECT thread_id, unnest(blob_ids) FROM kept
), gone_blobs AS (
    DELETE FROM blobs b USING spare_blobs s
     WHERE (b.thread_id, b.blob_id) = (s.thread_id, s.blob_id)
), gone_items AS (
    DELETE FROM items i
     WHERE i.thread_id IN (SELECT thread_id FROM gone)
       AND NOT EXISTS (
           SELECT FROM (
               SELECT kept.thread_id, (span ->> 0)::bigint AS list_id,
                      range_agg(int4range((span ->> 1)::int, (span ->> 2)::int)) AS spans
                 FROM kept, jsonb_each(kept.lists) AS channel,
                      jsonb_array_elements(channel.value) AS span
                GROUP BY 1, 2) used
            WHERE used.thread_id = i.thread_id AND used.list_id = i.list_id
              AND used.spans && int4range(i.start, i.start + i.count))
)

-- part copies --
-- The part of a statement that copies a thread's checkpoints, blobs and writes to the `target`, which has none.
copied_checkpoints AS (
    INSERT INTO checkpoints
    SELECT target.thread_id, s.ns, s.checkpoint_id, s.parent_id, s.written, s.place, s.metadata,
           s.blob_ids, s.body, s.lists
      FROM target, checkpoints s WHERE s.thread_id = %(source)s
), copied_blobs AS (
    INSERT INTO blobs
    SELECT target.thread_id, s.blob_id, s.kind, s.data
      FROM target, blobs s WHERE s.thread_id = %(source)s
), copied_items AS (
    INSERT INTO items
    SELECT target.thread_id, s.list_id, s.start, s.count, s.data
      FROM target, items s WHERE s.thread_id = %(source)s
), copied_writes AS (
    INSERT INTO writes
    SELECT target.thread_id, s.ns, s.checkpoint_id, s.task_id, s.idx, s.task_path, s.channel,
           s.kind, s.data
      FROM target, writes s WHERE s.thread_id = %(source)s
)

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
   AND c.metadata @> %(holds)s
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
)
SELECT {rows} FROM mine;

-- delete_checkpoints --
-- Drop a thread's checkpoints, or those that some runs made, and the values nobody refers to.
WITH gone AS (
    DELETE FROM checkpoints
     WHERE thread_id = %(thread_id)s OR metadata ->> 'run_id' = ANY (%(run_ids)s)
    RETURNING thread_id, ns, checkpoint_id, blob_ids
), gone_writes AS (
    DELETE FROM writes w USING gone
     WHERE (w.thread_id, w.ns, w.checkpoint_id)
         = (gone.thread_id, gone.ns, gone.checkpoint_id)
), kept AS (
    SELECT c.thread_id, c.ns, c.checkpoint_id, c.written, c.place, c.blob_ids, c.lists
      FROM checkpoints c
     WHERE c.thread_id IN (SELECT thread_id FROM gone)
       AND (c.thread_id, c.ns, c.checkpoint_id)
           NOT IN (SELECT thread_id, ns, checkpoint_id FROM gone)
), {gone_values}
UPDATE threads t
   SET head = (SELECT l.checkpoint_id FROM kept l
                WHERE l.thread_id = t.thread_id AND l.ns = ''
                ORDER BY l.written DESC, l.place DESC, l.checkpoint_id DESC LIMIT 1)
 WHERE (t.thread_id, t.head) IN (SELECT thread_id, checkpoint_id FROM gone WHERE ns = '');

-- copy_checkpoints --
-- Copy all checkpoints, blobs and writes of a thread to another that has none; it is made when
-- missing. No row: there is nothing to copy.
WITH target AS (
    INSERT INTO threads (thread_id, owner, head)
    SELECT %(target)s, owner, head FROM threads WHERE thread_id = %(source)s
    ON CONFLICT (thread_id) DO UPDATE SET head = excluded.head
     WHERE threads.head IS NULL
       AND NOT EXISTS (SELECT FROM checkpoints c WHERE c.thread_id = threads.thread_id)
    RETURNING thread_id
), {copies}
SELECT EXISTS (SELECT FROM target) AS copied FROM threads WHERE thread_id = %(source)s;
