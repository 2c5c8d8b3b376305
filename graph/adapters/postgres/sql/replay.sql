-- What a replay reads of a thread, whoever owns it; values are read with `load`.

-- replay_thread --
SELECT owner, head FROM threads WHERE thread_id = %(thread_id)s;

-- replay_checkpoints --
-- All checkpoints without their values, oldest first.
SELECT ns, checkpoint_id, parent_id, metadata
  FROM checkpoints
 WHERE thread_id = %(thread_id)s
 ORDER BY written, place, checkpoint_id;
