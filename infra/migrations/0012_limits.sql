-- Model calls: rate limits that all workers share, calls on record before they are made, batches.

ALTER TABLE runs ADD COLUMN failures integer NOT NULL DEFAULT 0;  -- of model calls, in this step

ALTER TABLE usage ADD COLUMN open boolean NOT NULL DEFAULT false;  -- not counted yet: see open_call

CREATE INDEX usage_open ON usage (thread_id) WHERE open;
CREATE INDEX usage_spent_at ON usage (spent_at);

CREATE FUNCTION refilled(room float8[], since interval, caps float8[], rates float8[])
RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(least(cap, r + rate * greatest(extract(epoch FROM since), 0)) ORDER BY n)
      FROM unnest(room, caps, rates) WITH ORDINALITY AS x (r, cap, rate, n)
$$;

CREATE FUNCTION seconds_short(room float8[], needs float8[], rates float8[])
RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT max((need - r) / rate) FROM unnest(room, needs, rates) AS x (r, need, rate)
$$;

CREATE FUNCTION less(room float8[], costs float8[])
RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(r - cost ORDER BY n)
      FROM unnest(room, costs) WITH ORDINALITY AS x (r, cost, n)
$$;

CREATE UNLOGGED TABLE buckets (  -- lost in a crash, they are full again
    bucket       text PRIMARY KEY,      -- a digest of the key, and the model
    room         float8[] NOT NULL,     -- what was left at `at`: requests, tokens in, tokens out
    at           timestamptz NOT NULL,
    paused_until timestamptz NOT NULL DEFAULT '-infinity',  -- the API said so
    promised     timestamptz NOT NULL DEFAULT '-infinity'   -- to the last who was refused
);

CREATE TABLE batch_calls (
    call_key  text PRIMARY KEY,  -- the same for the same call of a repeated step
    owner     text NOT NULL,
    thread_id text NOT NULL REFERENCES threads ON DELETE CASCADE,
    run_id    text NOT NULL REFERENCES runs ON DELETE CASCADE,
    seq       bigint NOT NULL,
    node      text NOT NULL,
    model     text NOT NULL,
    request   jsonb NOT NULL,
    tries     integer NOT NULL DEFAULT 0,
    taken_at  timestamptz,       -- somebody sends it, or has
    batch_id  text,              -- it was sent
    result    jsonb,             -- it is answered
    asked_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX batch_calls_asked ON batch_calls (asked_at) WHERE taken_at IS NULL;
CREATE INDEX batch_calls_open ON batch_calls (batch_id) WHERE result IS NULL;
CREATE INDEX batch_calls_thread ON batch_calls (thread_id);
CREATE INDEX batch_calls_run ON batch_calls (run_id);
