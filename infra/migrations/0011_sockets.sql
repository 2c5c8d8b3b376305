-- Those outside who hear of runs: webhooks, and connections that follow threads.

ALTER TABLE runs ADD COLUMN ended_at timestamptz;  -- rises within a thread: its row is locked

-- While it lasts, whoever moves the thread on tells those who watch.
ALTER TABLE threads ADD COLUMN watched_until timestamptz;

CREATE TABLE webhooks (
    run_id     text PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    url        text NOT NULL,
    status     text NOT NULL DEFAULT 'pending'
               CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts   integer NOT NULL DEFAULT 0,
    due        timestamptz NOT NULL DEFAULT clock_timestamp(),  -- not to be tried before
    error      text,                                            -- of the last attempt
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX webhooks_due ON webhooks (due) WHERE status = 'pending';

-- In whatever statement a run ends, what is owed for its end is written: no crash comes between.
CREATE FUNCTION run_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ended_at := clock_timestamp();
    IF NEW.kwargs ? 'webhook' THEN
        INSERT INTO webhooks (run_id, url) VALUES (NEW.run_id, NEW.kwargs ->> 'webhook')
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER run_ends BEFORE UPDATE OF status ON runs FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'running') AND NEW.status NOT IN ('pending', 'running'))
    EXECUTE FUNCTION run_ends();

CREATE TABLE connections (
    connection_id text PRIMARY KEY,
    owner         text NOT NULL,
    caller        jsonb,                -- what is known of the user, no credentials
    ends_at       timestamptz NOT NULL  -- the gateway closes it by then
);

CREATE INDEX connections_ends ON connections (ends_at);

CREATE TABLE subscriptions (
    thread_id     text NOT NULL REFERENCES threads ON DELETE CASCADE,
    run_id        text NOT NULL DEFAULT '',  -- one run of the thread, or all
    connection_id text NOT NULL REFERENCES connections ON DELETE CASCADE,
    channels      text[] NOT NULL DEFAULT '{}',  -- none: all
    cursor        bigint NOT NULL,        -- the last event that was pushed
    ended_after   timestamptz NOT NULL,   -- the last end of a run that was pushed
    fence         bigint NOT NULL DEFAULT 0,
    lease_until   timestamptz,            -- somebody pushes, or the connection rests
    failures      integer NOT NULL DEFAULT 0,
    PRIMARY KEY (thread_id, run_id, connection_id)
);

CREATE INDEX subscriptions_connection ON subscriptions (connection_id);
