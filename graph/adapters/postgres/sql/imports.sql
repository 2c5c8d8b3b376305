-- Threads that are copied from elsewhere: nobody's until all of a thread is there.

-- import_begin --
-- Make the thread, or find how far it is.
WITH made AS (
    INSERT INTO threads (thread_id, owner, metadata)
    VALUES (%(thread_id)s, '', jsonb_build_object('importing', true))
    ON CONFLICT DO NOTHING
    RETURNING owner, metadata
)
SELECT owner, metadata FROM made
UNION ALL
SELECT owner, metadata FROM threads WHERE thread_id = %(thread_id)s;

-- import_has --
-- The checkpoints that are there already.
SELECT ns, checkpoint_id FROM checkpoints WHERE thread_id = %(thread_id)s;

-- import_end --
-- Give the thread, which is whole now, to its owner; no row if somebody else has.
UPDATE threads
   SET owner = %(owner)s, status = %(status)s, rests_as = %(status)s, head = %(head)s,
       interrupts = %(interrupts)s::jsonb, metadata = %(metadata)s::jsonb,
       created_at = %(created_at)s, updated_at = %(updated_at)s
 WHERE thread_id = %(thread_id)s AND metadata ? 'importing'
RETURNING thread_id;
