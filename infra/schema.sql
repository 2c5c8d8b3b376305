-- What the migrations make, for reading. Written by `make schema`; a test compares the two.

CREATE TABLE public.blobs (
    thread_id text NOT NULL,
    blob_id bytea NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE public.checkpoints (
    thread_id text NOT NULL,
    ns text NOT NULL,
    checkpoint_id text NOT NULL,
    parent_id text,
    written timestamp with time zone NOT NULL,
    place integer NOT NULL,
    metadata jsonb NOT NULL,
    blob_ids bytea[] DEFAULT '{}'::bytea[] NOT NULL,
    body bytea NOT NULL
);

CREATE TABLE public.documents (
    collection text DEFAULT 'default'::text NOT NULL,
    path text NOT NULL,
    chunk integer NOT NULL,
    heading text NOT NULL,
    body text NOT NULL,
    digest text NOT NULL,
    words tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('english'::regconfig, heading), 'A'::"char") || setweight(to_tsvector('english'::regconfig, body), 'B'::"char"))) STORED NOT NULL
);

CREATE TABLE public.events (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    fence bigint NOT NULL,
    name text NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE public.memories (
    effect_key text NOT NULL,
    owner text NOT NULL,
    fact text NOT NULL,
    words tsvector GENERATED ALWAYS AS (to_tsvector('english'::regconfig, fact)) STORED NOT NULL,
    remembered_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.order_changes (
    effect_key text NOT NULL,
    owner text NOT NULL,
    order_id text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    reason text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.orders (
    owner text NOT NULL,
    order_id text NOT NULL,
    item text NOT NULL,
    status text DEFAULT 'placed'::text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT orders_status_check CHECK ((status = ANY (ARRAY['placed'::text, 'shipped'::text, 'delivered'::text, 'cancelled'::text, 'returned'::text])))
);

CREATE TABLE public.outbox (
    effect_key text NOT NULL,
    owner text NOT NULL,
    recipient text NOT NULL,
    body text NOT NULL,
    put_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.runs (
    run_id text NOT NULL,
    thread_id text NOT NULL,
    owner text NOT NULL,
    assistant_id text NOT NULL,
    graph_id text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    kwargs jsonb DEFAULT '{}'::jsonb NOT NULL,
    multitask_strategy text DEFAULT 'enqueue'::text NOT NULL,
    input_applied boolean DEFAULT false NOT NULL,
    stop_at integer,
    head text,
    error jsonb,
    idempotency_key text,
    request_hash text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    calls bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    usd numeric DEFAULT 0 NOT NULL,
    CONSTRAINT runs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'success'::text, 'error'::text, 'timeout'::text, 'interrupted'::text])))
);

CREATE TABLE public.threads (
    thread_id text NOT NULL,
    owner text NOT NULL,
    status text DEFAULT 'idle'::text NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * '1000000'::numeric))::bigint NOT NULL,
    lease_until timestamp with time zone,
    wake_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    active_run_id text,
    queued text[] DEFAULT '{}'::text[] NOT NULL,
    head text,
    rung_at timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    interrupts jsonb DEFAULT '{}'::jsonb NOT NULL,
    error jsonb,
    ttl_minutes double precision,
    ttl_strategy text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    events bigint DEFAULT 0 NOT NULL,
    events_kept bigint DEFAULT 0 NOT NULL,
    calls bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    usd numeric DEFAULT 0 NOT NULL,
    CONSTRAINT threads_status_check CHECK ((status = ANY (ARRAY['idle'::text, 'busy'::text, 'interrupted'::text, 'error'::text]))),
    CONSTRAINT threads_ttl_strategy_check CHECK ((ttl_strategy = ANY (ARRAY['delete'::text, 'keep_latest'::text])))
)
WITH (fillfactor='70');

CREATE TABLE public.usage (
    call_id text NOT NULL,
    owner text NOT NULL,
    thread_id text NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    node text NOT NULL,
    model text NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    usd numeric,
    ms integer NOT NULL,
    lost boolean NOT NULL,
    spent_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.writes (
    thread_id text NOT NULL,
    ns text NOT NULL,
    checkpoint_id text NOT NULL,
    task_id text NOT NULL,
    idx integer NOT NULL,
    task_path text NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL
);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (thread_id, blob_id);

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (thread_id, ns, checkpoint_id);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (collection, path, chunk);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.order_changes
    ADD CONSTRAINT order_changes_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (owner, order_id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (effect_key);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.threads
    ADD CONSTRAINT threads_pkey PRIMARY KEY (thread_id);

ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (call_id);

ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_pkey PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx);

CREATE INDEX checkpoints_run ON public.checkpoints USING btree (((metadata ->> 'run_id'::text)));

CREATE INDEX documents_words ON public.documents USING gin (words);

CREATE INDEX memories_owner ON public.memories USING btree (owner, remembered_at DESC);

CREATE INDEX order_changes_order ON public.order_changes USING btree (owner, order_id);

CREATE INDEX outbox_owner ON public.outbox USING btree (owner, put_at DESC);

CREATE INDEX runs_ended ON public.runs USING btree (updated_at) WHERE (status <> ALL (ARRAY['pending'::text, 'running'::text]));

CREATE UNIQUE INDEX runs_idempotency ON public.runs USING btree (owner, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX runs_thread ON public.runs USING btree (thread_id, created_at DESC);

CREATE INDEX threads_active ON public.threads USING btree (thread_id) WHERE (active_run_id IS NOT NULL);

CREATE INDEX threads_metadata ON public.threads USING gin (metadata jsonb_path_ops);

CREATE INDEX threads_owner ON public.threads USING btree (owner, created_at DESC);

CREATE INDEX threads_ttl ON public.threads USING btree (thread_id) WHERE (ttl_minutes IS NOT NULL);

CREATE INDEX usage_owner ON public.usage USING btree (owner, spent_at);

CREATE INDEX usage_run ON public.usage USING btree (run_id);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_changes
    ADD CONSTRAINT order_changes_owner_order_id_fkey FOREIGN KEY (owner, order_id) REFERENCES public.orders(owner, order_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES public.threads(thread_id) ON DELETE CASCADE;
