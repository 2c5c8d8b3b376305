"""Answers on their way out: each is put in a table once, whatever is retried."""

from graph.agents import database

PUT = """
INSERT INTO outbox (effect_key, owner, recipient, body)
VALUES (%(effect_key)s, %(owner)s, %(recipient)s, %(body)s)
ON CONFLICT (effect_key) DO NOTHING
RETURNING effect_key
"""


async def put(recipient: str, body: str, *, owner: str, effect_key: str) -> None:
    """Send an answer on its way; one effect key sends at most one."""
    values = {"effect_key": effect_key, "owner": owner, "recipient": recipient, "body": body}
    await database.rows(PUT, values)
