-- Crons, and the long-term store's tables as langgraph-checkpoint-postgres 3.2 has them.

CREATE TABLE crons (
    cron_id            text PRIMARY KEY,
    owner              text NOT NULL,
    assistant_id       text NOT NULL,
    thread_id          text REFERENCES threads ON DELETE CASCADE,  -- none: a new one each time
    schedule           text NOT NULL,
    timezone           text,
    end_time           timestamptz,
    enabled            boolean NOT NULL,
    on_run_completed   text CHECK (on_run_completed IN ('delete', 'keep')),
    metadata           jsonb NOT NULL DEFAULT '{}',
    payload            jsonb NOT NULL DEFAULT '{}',  -- the run as the client asked for it
    kwargs             jsonb NOT NULL DEFAULT '{}',  -- the same as the engine is told
    multitask_strategy text NOT NULL DEFAULT 'enqueue',
    next_run_date      timestamptz,                  -- none: it will not fire
    error              jsonb,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX crons_owner ON crons (owner, created_at DESC);
CREATE INDEX crons_due ON crons (next_run_date) WHERE next_run_date IS NOT NULL;
CREATE INDEX crons_thread ON crons (thread_id) WHERE thread_id IS NOT NULL;

-- The long-term store: `prefix` is the owner and the namespace, joined by dots.
CREATE TABLE store (
    prefix      text NOT NULL,
    key         text NOT NULL,
    value       jsonb NOT NULL,
    created_at  timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at  timestamptz DEFAULT CURRENT_TIMESTAMP,
    expires_at  timestamptz,
    ttl_minutes integer,
    PRIMARY KEY (prefix, key)
);

CREATE INDEX store_prefix_idx ON store (prefix text_pattern_ops);
CREATE INDEX idx_store_expires_at ON store (expires_at) WHERE expires_at IS NOT NULL;
