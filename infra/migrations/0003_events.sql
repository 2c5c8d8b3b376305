-- What runs tell those who follow them.

ALTER TABLE threads
    ADD COLUMN events      bigint NOT NULL DEFAULT 0,  -- number of the newest event
    -- The newest one when the step was first claimed: what is above it was told by attempts at the
    -- step that is running, and is gone when the next attempt tells anything.
    ADD COLUMN events_kept bigint NOT NULL DEFAULT 0;

CREATE TABLE events (
    run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
    seq    bigint NOT NULL,  -- rises over all runs of the thread
    fence  bigint NOT NULL,  -- of the claim that told it
    name   text NOT NULL,
    data   bytea NOT NULL,   -- JSON
    PRIMARY KEY (run_id, seq)
);
