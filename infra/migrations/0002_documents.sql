-- Passages of the documents users index, for full-text search.

CREATE TABLE documents (
    collection text NOT NULL DEFAULT 'default',
    path text NOT NULL, -- relative to the indexed folder
    chunk integer NOT NULL, -- place of the passage in its file, from 0
    heading text NOT NULL,
    body text NOT NULL,
    digest text NOT NULL, -- SHA-256 of the whole file, to tell what changed
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', heading), 'A')
        || setweight(to_tsvector('english', body), 'B')
    ) STORED,
    PRIMARY KEY (collection, path, chunk)
);

CREATE INDEX documents_words ON documents USING gin (words);
