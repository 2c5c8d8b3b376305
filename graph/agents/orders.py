"""An owner's orders: what they stand at, and changes that happen once."""

from dataclasses import dataclass
from typing import Literal

from graph.agents import database

Status = Literal["placed", "shipped", "delivered", "cancelled", "returned"]

# A change is allowed from here; the rest of an order's life is not for a model to decide.
MAY_BECOME: dict[Status, tuple[Status, ...]] = {
    "cancelled": ("placed",),
    "returned": ("shipped", "delivered"),
}

FIND = """
SELECT order_id, item, status FROM orders WHERE owner = %(owner)s AND order_id = %(order_id)s
"""

# The row of order_changes goes first: where it exists already, nothing else happens.
CHANGE = """
WITH seen AS (
    SELECT order_id, item, status FROM orders
     WHERE owner = %(owner)s AND order_id = %(order_id)s
       FOR UPDATE
), change AS (
    INSERT INTO order_changes (effect_key, owner, order_id, before, after, reason)
    SELECT %(effect_key)s, %(owner)s, order_id, status, %(after)s, %(reason)s
      FROM seen WHERE status = ANY (%(allowed)s)
    ON CONFLICT (effect_key) DO NOTHING
    RETURNING order_id
), changed AS (
    UPDATE orders SET status = %(after)s, updated_at = now()
      FROM change
     WHERE orders.owner = %(owner)s AND orders.order_id = change.order_id
    RETURNING orders.status
)
SELECT order_id, item, coalesce((SELECT status FROM changed), status) AS status FROM seen
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands."""

    order_id: str
    item: str
    status: str


async def find(order_id: str, *, owner: str) -> Order | None:
    """The owner's order; None if the owner has no such order."""
    found = await database.rows(FIND, {"owner": owner, "order_id": order_id})
    return Order(**found[0]) if found else None


async def change(
    order_id: str, after: Status, reason: str, *, owner: str, effect_key: str
) -> Order | None:
    """The order after its change, which one effect key makes at most once.

    An order whose status does not allow the change is given back as it is.
    """
    values = {
        "owner": owner,
        "order_id": order_id,
        "after": after,
        "allowed": list(MAY_BECOME.get(after, ())),
        "reason": reason,
        "effect_key": effect_key,
    }
    found = await database.rows(CHANGE, values)
    return Order(**found[0]) if found else None
