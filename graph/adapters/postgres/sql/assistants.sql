-- Assistants that clients make.

-- create_assistant --
-- No row means that the owner has one of that id.
WITH made AS (
    INSERT INTO assistants
           (owner, assistant_id, graph_id, config, context, metadata, name, description)
    VALUES (%(owner)s, %(assistant_id)s, %(graph_id)s, %(config)s, %(context)s, %(metadata)s,
            %(name)s, %(description)s)
    ON CONFLICT DO NOTHING
    RETURNING *
), {first_or_next}
SELECT * FROM made;

-- get_assistant --
SELECT * FROM assistants WHERE owner = %(owner)s AND assistant_id = %(assistant_id)s;

-- update_assistant --
-- Two at once wait for each other at the row, and each adds to what the other left.
WITH made AS (
    UPDATE assistants
       SET graph_id = coalesce(%(graph_id)s, graph_id),
           config = coalesce(%(config)s::jsonb, config),
           context = coalesce(%(context)s::jsonb, context),
           metadata = metadata || coalesce(%(metadata)s::jsonb, '{}'),
           name = coalesce(%(name)s, name),
           description = coalesce(%(description)s, description),
           version = newest + 1,
           newest = newest + 1,
           updated_at = clock_timestamp()
     WHERE owner = %(owner)s AND assistant_id = %(assistant_id)s
    RETURNING *
), {first_or_next}
SELECT * FROM made;

-- part first_or_next --
-- The part of a statement that keeps the version in `made`.
kept AS (
    INSERT INTO assistant_versions (owner, assistant_id, version, graph_id, config, context,
                                    metadata, name, description, created_at)
    SELECT owner, assistant_id, version, graph_id, config, context, metadata, name, description,
           updated_at
      FROM made
)

-- set_latest --
UPDATE assistants a
   SET graph_id = v.graph_id, config = v.config, context = v.context, metadata = v.metadata,
       name = v.name, description = v.description, version = v.version,
       updated_at = clock_timestamp()
  FROM assistant_versions v
 WHERE a.owner = %(owner)s AND a.assistant_id = %(assistant_id)s
   AND v.owner = a.owner AND v.assistant_id = a.assistant_id AND v.version = %(version)s
RETURNING a.*;

-- list_versions --
SELECT *, created_at AS updated_at FROM assistant_versions
 WHERE owner = %(owner)s AND assistant_id = %(assistant_id)s AND metadata @> %(holds)s
 ORDER BY version DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- part found_assistants --
-- The part of a statement that finds the owner's and the others that it is given.
found AS (
    SELECT * FROM (
        SELECT 0 AS place, assistant_id, owner, graph_id, name, created_at, updated_at, config,
               context, metadata, description, version
          FROM assistants WHERE owner = %(owner)s
        UNION ALL
        SELECT place, o ->> 'assistant_id', o ->> 'owner', o ->> 'graph_id', o ->> 'name',
               (o ->> 'created_at')::timestamptz, (o ->> 'updated_at')::timestamptz, o -> 'config',
               o -> 'context', o -> 'metadata', o ->> 'description', (o ->> 'version')::int
          FROM jsonb_array_elements(%(others)s::jsonb) WITH ORDINALITY AS others (o, place)
    ) every
     WHERE metadata @> %(holds)s
       AND (%(graph_id)s::text IS NULL OR graph_id = %(graph_id)s)
       AND (%(name)s::text IS NULL OR strpos(lower(name), lower(%(name)s)) > 0)
)

-- search_assistants --
-- One page and, on each row, the number of all matches. A page past the end has none to carry it.
WITH {found_assistants}
SELECT *, count(*) OVER () AS total
  FROM found
 ORDER BY
   CASE %(order)s WHEN 'created_at desc' THEN created_at
                  WHEN 'updated_at desc' THEN updated_at END DESC,
   CASE %(order)s WHEN 'created_at asc' THEN created_at
                  WHEN 'updated_at asc' THEN updated_at END,
   CASE %(order)s WHEN 'name desc' THEN lower(name) WHEN 'graph_id desc' THEN lower(graph_id)
                  WHEN 'assistant_id desc' THEN assistant_id END COLLATE "C" DESC,
   CASE %(order)s WHEN 'name asc' THEN lower(name) WHEN 'graph_id asc' THEN lower(graph_id)
                  WHEN 'assistant_id asc' THEN assistant_id END COLLATE "C",
   place, assistant_id
 LIMIT %(limit)s OFFSET %(offset)s;

-- count_assistants --
WITH {found_assistants}
SELECT count(*) AS total FROM found;

-- delete_assistant --
-- With its crons, by their foreign key, and with the threads that say they are its. Runs that were
-- accepted on others go on: they have all that they need of it.
WITH gone AS (
    DELETE FROM assistants WHERE owner = %(owner)s AND assistant_id = %(assistant_id)s
    RETURNING owner, assistant_id
), threads_gone AS (
    DELETE FROM threads t USING gone
     WHERE %(with_threads)s AND t.owner = gone.owner
       AND t.metadata @> jsonb_build_object('assistant_id', gone.assistant_id)
)
SELECT assistant_id FROM gone;
