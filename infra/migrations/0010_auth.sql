-- Who may call, and how often.

CREATE TABLE api_keys (
    key_id       text PRIMARY KEY,
    owner        text NOT NULL,
    name         text NOT NULL,
    digest       bytea NOT NULL,  -- SHA-256 of the key: a long random text needs no slow hash
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz      -- within the hour
);

CREATE INDEX api_keys_owner ON api_keys (owner);

CREATE UNLOGGED TABLE turns (  -- after a crash everybody starts with a full bucket
    owner text PRIMARY KEY,
    due   timestamptz NOT NULL  -- when the owner's bucket is full again
);

CREATE INDEX runs_unfinished ON runs (owner) WHERE status IN ('pending', 'running');
