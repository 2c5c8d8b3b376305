-- The long-term store, as far as LangGraph's own statements do not see to it.

-- expire_items --
WITH late AS (
    SELECT prefix, key FROM store
     WHERE expires_at < coalesce(%(now)s::timestamptz, clock_timestamp())
     ORDER BY expires_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM store s USING late WHERE s.prefix = late.prefix AND s.key = late.key RETURNING s.key;

-- dims_of_vectors --
-- No row without the table of embeddings.
SELECT atttypmod AS dims FROM pg_attribute
 WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding';
