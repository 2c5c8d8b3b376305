-- Lists that grow: a checkpoint refers to spans of items, and a step adds only its own.

CREATE TABLE items (
    thread_id text NOT NULL REFERENCES threads ON DELETE CASCADE,
    list_id   bigint NOT NULL,
    start     integer NOT NULL,  -- position of the first of them
    count     integer NOT NULL,
    data      bytea NOT NULL,    -- each with its own length in it, so that rows can be joined
    PRIMARY KEY (thread_id, list_id, start)
);

-- {channel: [[list_id, first position, position behind the last], ...]}
ALTER TABLE checkpoints ADD COLUMN lists jsonb NOT NULL DEFAULT '{}';

-- What belongs to a checkpoint. Functions, so that a claim which needs no values does not read them;
-- in plpgsql, which keeps its plans.

CREATE FUNCTION blobs_of(of_thread text, ids bytea[]) RETURNS bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT array_agg(ARRAY[b.blob_id, convert_to(b.kind, 'UTF8'), b.data])
          FROM blobs b
         WHERE b.thread_id = of_thread AND b.blob_id = ANY (ids)
    );
END $$;

CREATE FUNCTION writes_of(of_thread text, of_ns text, of_checkpoint text) RETURNS bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT array_agg(ARRAY[convert_to(w.task_id, 'UTF8'), convert_to(w.task_path, 'UTF8'),
                               convert_to(w.idx::text, 'UTF8'), convert_to(w.channel, 'UTF8'),
                               convert_to(w.kind, 'UTF8'), w.data])
          FROM writes w
         WHERE w.thread_id = of_thread AND w.ns = of_ns AND w.checkpoint_id = of_checkpoint
    );
END $$;

-- For each list: its id, the first position read, how many, where the list ends, and the items.
CREATE FUNCTION items_of(of_thread text, lists jsonb) RETURNS bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        WITH needed AS (
            SELECT (span ->> 0)::bigint AS id, min((span ->> 1)::int) AS first,
                   max((span ->> 2)::int) AS stop
              FROM jsonb_each(lists) AS channel, jsonb_array_elements(channel.value) AS span
             GROUP BY 1
        )
        SELECT array_agg(ARRAY[int8send(n.id), int4send(found.start), int4send(found.count),
                               int4send(tip.stop), found.data])
          FROM needed n
          CROSS JOIN LATERAL (
               SELECT min(i.start) AS start, sum(i.count)::int AS count,
                      string_agg(i.data, '' ORDER BY i.start) AS data
                 FROM items i
                WHERE i.thread_id = of_thread AND i.list_id = n.id AND i.start < n.stop
                  AND i.start >= (SELECT max(f.start) FROM items f
                                   WHERE f.thread_id = of_thread AND f.list_id = n.id
                                     AND f.start <= n.first)) found
          CROSS JOIN LATERAL (
               SELECT i.start + i.count AS stop FROM items i
                WHERE i.thread_id = of_thread AND i.list_id = n.id
                ORDER BY i.start DESC LIMIT 1) tip
    );
END $$;
