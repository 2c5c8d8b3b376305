-- How much of a thread's history is kept: the sweep walks through the threads and thins them out.

-- What the thread was thinned to and where it stood then, as "<keep>@<head>": nothing to do until
-- one of them is another.
ALTER TABLE threads ADD COLUMN thinned text;

CREATE TABLE walks (
    name  text PRIMARY KEY,
    place text NOT NULL DEFAULT ''  -- the last thread that was passed
);
INSERT INTO walks (name) VALUES ('retention');
