-- What model calls spend: a row for each, and totals where a step reads them anyway.

ALTER TABLE threads
    ADD COLUMN calls  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN tokens bigint  NOT NULL DEFAULT 0,
    ADD COLUMN usd    numeric NOT NULL DEFAULT 0;

ALTER TABLE runs
    ADD COLUMN calls  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN tokens bigint  NOT NULL DEFAULT 0,
    ADD COLUMN usd    numeric NOT NULL DEFAULT 0;

CREATE TABLE usage (
    call_id       text PRIMARY KEY,
    owner         text NOT NULL,
    thread_id     text NOT NULL,  -- no reference: what was spent stays spent when a thread is deleted
    run_id        text NOT NULL,
    seq           bigint NOT NULL,  -- the step
    node          text NOT NULL,
    model         text NOT NULL,
    input_tokens  integer NOT NULL,  -- all that was sent, cached or not
    output_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    usd           numeric,  -- null: the model has no known price
    ms            integer NOT NULL,
    lost          boolean NOT NULL,  -- by an attempt whose claim was lost
    spent_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX usage_owner ON usage (owner, spent_at);
CREATE INDEX usage_run ON usage (run_id);
