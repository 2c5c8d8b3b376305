"""API Gateway's WebSocket API -> connections and what they ask for."""

import logging
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from starlette.exceptions import HTTPException

from functions import wiring
from functions.api.edge import wired
from functions.websocket.commands import Desk
from functions.websocket.identity import SUBPROTOCOL, subprotocols, to_keep, who_connects
from graph.errors import AgentError
from graph.runtime.models import LONGEST_CONNECTION

log = logging.getLogger("baton.websocket")

Json = dict[str, Any]


def handler(event: Json, _context: LambdaContext) -> Json:
    """One frame, or the begin or end of a connection."""
    return wiring.loop().run_until_complete(serve(event, _desk()))


@cache
def _desk() -> Desk:
    return Desk(wired())


async def serve(event: Json, desk: Desk) -> Json:
    """What is answered; the body goes to the client as a message."""
    connection_id: str = event["requestContext"]["connectionId"]
    match event["requestContext"]["eventType"]:
        case "CONNECT":
            return await _connect(event, desk, connection_id)
        case "DISCONNECT":
            await desk.edge.rt.store.disconnect([connection_id])
            return {"statusCode": 200}
        case _:
            text = event.get("body") or ""
            return {"statusCode": 200, "body": await desk.answer_to(text, connection_id)}


async def _connect(event: Json, desk: Desk, connection_id: str) -> Json:
    try:
        who = to_keep(await who_connects(event, desk.edge))
        await desk.edge.rt.store.connect(connection_id, who, lasts=LONGEST_CONNECTION)
    except HTTPException as error:
        return {"statusCode": error.status_code}
    except AgentError as error:
        log.error("nobody can connect: %s", error)
        return {"statusCode": 503}
    if SUBPROTOCOL in subprotocols(event):
        return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": SUBPROTOCOL}}
    return {"statusCode": 200}
