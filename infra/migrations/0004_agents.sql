-- What the agents' tools keep for each owner. An effect key makes a write happen once.

CREATE TABLE orders (
    owner text NOT NULL,
    order_id text NOT NULL,
    item text NOT NULL,
    status text NOT NULL DEFAULT 'placed'
        CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled', 'returned')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, order_id)
);

CREATE TABLE order_changes (
    effect_key text PRIMARY KEY,
    owner text NOT NULL,
    order_id text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (owner, order_id) REFERENCES orders ON DELETE CASCADE
);

CREATE INDEX order_changes_order ON order_changes (owner, order_id);

CREATE TABLE memories (
    effect_key text PRIMARY KEY,
    owner text NOT NULL,
    fact text NOT NULL,
    words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', fact)) STORED,
    remembered_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX memories_owner ON memories (owner, remembered_at DESC);

-- Answers that have gone out; whatever delivers them reads here.
CREATE TABLE outbox (
    effect_key text PRIMARY KEY,
    owner text NOT NULL,
    recipient text NOT NULL,
    body text NOT NULL,
    put_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX outbox_owner ON outbox (owner, put_at DESC);
