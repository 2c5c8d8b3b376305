-- Calls of tools are counted beside calls of models; each is a row of usage, as "tool:NAME".

ALTER TABLE threads ADD COLUMN tool_calls bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN tool_calls bigint NOT NULL DEFAULT 0;

-- What chat was told to remember moves to the long-term store. The table stays for code that is
-- still running; its owners are written as the store's first label, percent-encoded.
INSERT INTO store (prefix, key, value, created_at, updated_at)
SELECT '@' || label.owner || '.memories', m.effect_key, jsonb_build_object('text', m.fact),
       m.remembered_at, m.remembered_at
  FROM memories m
 CROSS JOIN LATERAL (
    SELECT string_agg(
               CASE WHEN letter ~ '^[A-Za-z0-9_~-]$' THEN letter
                    ELSE regexp_replace(
                        upper(encode(convert_to(letter, 'UTF8'), 'hex')), '(..)', '%\1', 'g')
               END, '' ORDER BY place) AS owner
      FROM regexp_split_to_table(m.owner, '') WITH ORDINALITY AS x (letter, place)
 ) label
ON CONFLICT DO NOTHING;
