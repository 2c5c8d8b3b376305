-- Threads, runs and checkpoints: all a step reads and writes.

CREATE TABLE threads (
    thread_id     text PRIMARY KEY,
    owner         text NOT NULL,
    status        text NOT NULL DEFAULT 'idle'
                  CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
    -- The step protocol.
    seq           bigint NOT NULL DEFAULT 0,   -- the step the thread waits for
    -- Moved by every claim and by every end of one. A thread that is made again after it was deleted
    -- begins above its old fences.
    fence         bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint,
    lease_until   timestamptz,
    wake_at       timestamptz,                 -- not to be stepped before
    attempts      integer NOT NULL DEFAULT 0,  -- claims since the thread last moved
    active_run_id text,
    queued        text[] NOT NULL DEFAULT '{}',  -- runs waiting for their turn, in order
    head          text,                        -- newest checkpoint of the root graph
    rung_at       timestamptz,                 -- when the sweep last sent its message again
    -- What clients see.
    metadata      jsonb NOT NULL DEFAULT '{}',
    config        jsonb NOT NULL DEFAULT '{}',
    interrupts    jsonb NOT NULL DEFAULT '{}',
    error         jsonb,
    ttl_minutes   double precision,
    ttl_strategy  text CHECK (ttl_strategy IN ('delete', 'keep_latest')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);  -- every step updates the row twice, in place

CREATE INDEX threads_owner ON threads (owner, created_at DESC);
CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);
CREATE INDEX threads_active ON threads (thread_id) WHERE active_run_id IS NOT NULL;
CREATE INDEX threads_ttl ON threads (thread_id) WHERE ttl_minutes IS NOT NULL;

CREATE TABLE runs (
    run_id             text PRIMARY KEY,
    thread_id          text NOT NULL REFERENCES threads ON DELETE CASCADE,
    owner              text NOT NULL,
    assistant_id       text NOT NULL,
    graph_id           text NOT NULL,
    status             text NOT NULL DEFAULT 'pending'
                       CHECK (status IN ('pending', 'running', 'success', 'error', 'timeout',
                                         'interrupted')),
    metadata           jsonb NOT NULL DEFAULT '{}',
    payload            jsonb NOT NULL DEFAULT '{}',  -- input and command: read once
    kwargs             jsonb NOT NULL DEFAULT '{}',  -- the rest of the request: read every step
    multitask_strategy text NOT NULL DEFAULT 'enqueue',
    input_applied      boolean NOT NULL DEFAULT false,
    stop_at            integer,
    head               text,
    error              jsonb,
    idempotency_key    text,
    request_hash       text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX runs_thread ON runs (thread_id, created_at DESC);
CREATE UNIQUE INDEX runs_idempotency ON runs (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_ended ON runs (updated_at) WHERE status NOT IN ('pending', 'running');

CREATE TABLE checkpoints (
    thread_id     text NOT NULL REFERENCES threads ON DELETE CASCADE,
    ns            text NOT NULL,
    checkpoint_id text NOT NULL,
    parent_id     text,
    written       timestamptz NOT NULL,  -- by the database's clock, while the thread's row is locked
    place         integer NOT NULL,      -- among those written at once
    metadata      jsonb NOT NULL,
    blob_ids      bytea[] NOT NULL DEFAULT '{}',
    body          bytea NOT NULL,
    PRIMARY KEY (thread_id, ns, checkpoint_id)
);

CREATE INDEX checkpoints_run ON checkpoints ((metadata ->> 'run_id'));

CREATE TABLE blobs (
    thread_id text NOT NULL REFERENCES threads ON DELETE CASCADE,
    blob_id   bytea NOT NULL,  -- hash of the data
    kind      text NOT NULL,
    data      bytea NOT NULL,
    PRIMARY KEY (thread_id, blob_id)
);

CREATE TABLE writes (
    thread_id     text NOT NULL REFERENCES threads ON DELETE CASCADE,
    ns            text NOT NULL,
    checkpoint_id text NOT NULL,
    task_id       text NOT NULL,
    idx           integer NOT NULL,
    task_path     text NOT NULL,
    channel       text NOT NULL,
    kind          text NOT NULL,
    data          bytea NOT NULL,
    PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx)
);
