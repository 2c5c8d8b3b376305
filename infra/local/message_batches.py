"""The offline model server's Message Batches API: kept in memory, answered when it is let go."""

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.message_format import Call

Json = dict[str, Any]

PATH = "/v1/messages/batches"
KEPT = timedelta(days=1)
UNDONE = {"errored": "api_error", "invalid": "invalid_request_error"}  # what tests ask for


class Item(BaseModel):
    """One request of a batch."""

    custom_id: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    params: Call


class Asked(BaseModel):
    """What creates a batch."""

    requests: list[Item] = Field(min_length=1, max_length=100_000)


@dataclass(slots=True)
class Batch:
    """A batch, and how its requests ended once it has."""

    id: str
    items: list[Item]
    created: datetime
    results: list[Json] | None = None

    def told(self, base: str) -> Json:
        done = self.results is not None
        kinds = [result["result"]["type"] for result in self.results or ()]
        counts = {k: kinds.count(k) for k in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if done else "in_progress",
            "request_counts": {"processing": 0 if done else len(self.items), **counts},
            "created_at": self.created.isoformat(),
            "expires_at": (self.created + KEPT).isoformat(),
            "ended_at": self.created.isoformat() if done else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{base}{PATH}/{self.id}/results" if done else None,
        }


class MessageBatches:
    """The batches; while `held` none ends. `outcomes` has what befalls the next requests.

    Each is "succeeded", "errored", "invalid", "canceled" or "expired".
    """

    def __init__(self, server: Any) -> None:
        self.held = False
        self.outcomes: deque[str] = deque()
        self.made: dict[str, Batch] = {}
        self._server = server  # answers, parses, and knows its address

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self._create, methods=["POST"]),
            Route(PATH, self._list, methods=["GET"]),
            Route(f"{PATH}/{{batch_id}}", self._retrieve, methods=["GET"]),
            Route(f"{PATH}/{{batch_id}}/results", self._results, methods=["GET"]),
        ]

    async def _create(self, request: Request) -> Response:
        asked: Asked = await self._server.parse(request, Asked)
        if fault := self._server.next_fault(request):
            refused: Response = fault.response()
            return refused
        batch = Batch(f"msgbatch_{uuid4().hex}", asked.requests, datetime.now(UTC))
        self.made[batch.id] = batch
        return JSONResponse(batch.told(self._server.url))

    async def _list(self, request: Request) -> Response:
        newest = list(self.made.values())[::-1][: int(request.query_params.get("limit", 20))]
        data = [batch.told(self._server.url) for batch in newest]
        return JSONResponse({"data": data, "has_more": False, "first_id": None, "last_id": None})

    async def _retrieve(self, request: Request) -> Response:
        batch = self._found(request)
        if batch.results is None and not self.held:
            batch.results = [self._outcome(item) for item in batch.items]
        return JSONResponse(batch.told(self._server.url))

    async def _results(self, request: Request) -> Response:
        lines = "".join(json.dumps(line) + "\n" for line in self._found(request).results or ())
        return Response(lines, media_type="application/x-jsonl")

    def _found(self, request: Request) -> Batch:
        batch = self.made.get(request.path_params["batch_id"])
        if batch is None:
            raise HTTPException(404, "there is no such batch")
        return batch

    def _outcome(self, item: Item) -> Json:
        kind = self.outcomes.popleft() if self.outcomes else "succeeded"
        result: Json = {"type": kind}
        if kind == "succeeded":
            result["message"] = self._server.answer(item.params)
        elif kind in UNDONE:
            error = {"type": UNDONE[kind], "message": "on demand"}
            result = {"type": "errored", "error": {"type": "error", "error": error}}
        return {"custom_id": item.custom_id, "result": result}
