-- Assistants that clients make, and all their versions. Those of the project's graphs have no row.

CREATE TABLE assistants (
    owner        text NOT NULL,
    assistant_id text NOT NULL,  -- two owners may have the same: none learns of the other's
    graph_id     text NOT NULL,
    config       jsonb NOT NULL,
    context      jsonb NOT NULL,
    metadata     jsonb NOT NULL,
    name         text NOT NULL,
    description  text,
    version      integer NOT NULL DEFAULT 1,  -- the one in force, which the columns above are of
    newest       integer NOT NULL DEFAULT 1,  -- the highest number given
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, assistant_id)
);

CREATE TABLE assistant_versions (
    owner        text NOT NULL,
    assistant_id text NOT NULL,
    version      integer NOT NULL,
    graph_id     text NOT NULL,
    config       jsonb NOT NULL,
    context      jsonb NOT NULL,
    metadata     jsonb NOT NULL,
    name         text NOT NULL,
    description  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, assistant_id, version),
    FOREIGN KEY (owner, assistant_id) REFERENCES assistants ON DELETE CASCADE
);
