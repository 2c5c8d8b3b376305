"""A REST API in front of a function: HTTP in, one invocation per request, HTTP out."""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from infra.local.workers import InvocationFailed
from tests.e2e.emulator import Emulator
from tests.fixtures.events import rest_event

STAGE = "dev"
Json = dict[str, Any]


class Gateway:
    """An ASGI app; each environment takes one request at a time, as in Lambda."""

    def __init__(self, environments: Sequence[Emulator], key: str) -> None:
        self._free: asyncio.Queue[Emulator] = asyncio.Queue()
        for environment in environments:
            self._free.put_nowait(environment)
        self._key = key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await _body(receive)
        if headers.get("x-api-key") != self._key:
            answer = _own(403, "Forbidden")
        else:
            answer = await self._invoke(_event(scope, headers, body))
        content = answer.get("body") or ""
        raw = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
        sent = [
            (name.encode(), value.encode())
            for name, values in answer["multiValueHeaders"].items()
            for value in values
        ]
        start = {"type": "http.response.start", "status": answer["statusCode"], "headers": sent}
        await send(start)
        await send({"type": "http.response.body", "body": raw})

    async def _invoke(self, event: Json) -> Json:
        environment = await self._free.get()
        try:
            answer: Json = await environment.invoke(event)
        except InvocationFailed:
            return _own(502, "Internal server error")
        finally:
            self._free.put_nowait(environment)
        single = {name: [value] for name, value in (answer.get("headers") or {}).items()}
        return {**answer, "multiValueHeaders": {**single, **answer.get("multiValueHeaders", {})}}


def _event(scope: Any, headers: dict[str, str], body: bytes) -> Json:
    path = scope["path"].removeprefix(f"/{STAGE}") or "/"
    event = rest_event(scope["method"], path, headers=headers)
    query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
    event["multiValueQueryStringParameters"] = query or None
    event["queryStringParameters"] = {name: values[-1] for name, values in query.items()} or None
    event["body"] = body.decode() if body else None
    return event


async def _body(receive: Any) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _own(status: int, message: str) -> Json:
    """What API Gateway answers by itself."""
    headers = {"content-type": ["application/json"]}
    return {
        "statusCode": status,
        "multiValueHeaders": headers,
        "body": json.dumps({"message": message}),
    }
