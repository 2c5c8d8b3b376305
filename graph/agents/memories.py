"""Facts an owner wants remembered, over all threads."""

from graph.agents import database

REMEMBER = """
INSERT INTO memories (effect_key, owner, fact) VALUES (%(effect_key)s, %(owner)s, %(fact)s)
ON CONFLICT (effect_key) DO NOTHING
RETURNING fact
"""

# Those that share a word with the query first, then the newest.
RECALL = """
WITH terms AS (
    SELECT regexp_replace(
               plainto_tsquery('english', %(query)s)::text, ' (&|<->|<\\d+>) ', ' | ', 'g'
           )::tsquery AS any_word
)
SELECT fact FROM memories, terms
 WHERE owner = %(owner)s
 ORDER BY ts_rank(words, any_word) DESC, remembered_at DESC
 LIMIT %(limit)s
"""


async def remember(fact: str, *, owner: str, effect_key: str) -> None:
    """Keep a fact; one effect key keeps at most one."""
    values = {"effect_key": effect_key, "owner": owner, "fact": fact}
    await database.rows(REMEMBER, values)


async def recall(query: str, limit: int, *, owner: str) -> list[str]:
    """The owner's facts, those nearest to the query first."""
    values = {"query": query, "owner": owner, "limit": limit}
    return [row["fact"] for row in await database.rows(RECALL, values)]
