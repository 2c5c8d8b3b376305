"""What a thread tells as frames of the SDK's v3 thread protocol."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field

from functions.api.edge import Edge
from graph.runtime.batches import LIFECYCLE, Item
from graph.runtime.models import Event, Json, RunEnd, RunStatus, Thread
from graph.runtime.thread_story import LATEST, Place, place_after, thread_told, unfinished, whole

# What a run that this protocol starts is told with.
MODES = ["values", "updates", "messages-tuple", "custom", "tasks", "checkpoints", "tools"]
MOST = 100  # channels, or namespaces
RECENT = 5.0  # seconds in which the client that started a run has opened its streams
Namespace = Annotated[list[str], Field(max_length=MOST)]


class Subscription(BaseModel):
    """What a stream is to carry; `since` is the last `seq` that its client has."""

    channels: list[str] = Field(min_length=1, max_length=MOST)
    namespaces: list[Namespace] | None = Field(None, max_length=MOST)
    depth: int | None = Field(None, ge=0)
    since: int | None = Field(None, ge=0, lt=LATEST)

    @property
    def definition(self) -> Any:
        return self.model_dump(include={"channels", "namespaces", "depth"}, exclude_none=True)


@dataclass(slots=True)
class _Message:
    """A message under way: its text so far."""

    namespace: list[str]
    text: str = ""


@dataclass(slots=True)
class Frames:
    """Frames for one reader, made of events and ends of runs."""

    edge: Edge
    thread: Thread
    asked: Subscription
    _begun: set[str] = field(default_factory=set)
    _open: dict[str, _Message] = field(default_factory=dict)

    async def told(self) -> AsyncIterator[list[Json] | None]:
        """Those of one event at a time, for a client goes on after an event; None for a while."""
        from langgraph_sdk.stream.subscription import (  # one kind of stream needs it
            matches_subscription,
        )

        rt, thread_id = self.edge.rt, self.thread.thread_id
        if self.asked.since is None:
            start = await unfinished(rt, thread_id, recent=RECENT)
        else:
            start = await place_after(rt, self.thread, self.asked.since)
        story = thread_told(rt, thread_id, self.thread.owner, start)
        async for item, place in story:
            if item is None:
                yield None
                continue
            frames: list[Any] = await self._of(item, place)
            wanted = [f for f in frames if matches_subscription(f, self.asked.definition)]
            if wanted:
                yield wanted

    async def _of(self, item: Item, place: Place) -> list[Json]:
        run_id = item.run_id if isinstance(item, RunEnd) else item[0]
        said: list[tuple[str, Sequence[str], Any]] = []
        if run_id not in self._begun:
            self._begun.add(run_id)
            said += [("lifecycle", (), {"event": "started", "run_id": run_id})]
        if isinstance(item, RunEnd):
            said += [*self._finish_all(), *await self._end(item)]
        else:
            said += self._event(item[1])
        at = f"{run_id}:end" if isinstance(item, RunEnd) else str(place.seq)
        return [_frame(*one, seq=place.seq, event_id=f"{at}.{n}") for n, one in enumerate(said)]

    def _event(self, event: Event) -> list[tuple[str, Sequence[str], Any]]:
        name, *namespace = event.name.split("|")
        data = orjson.loads(event.data)
        if name == "messages":
            return self._message(namespace, *data)
        if name == "tasks" and "triggers" not in data:
            return [*self._finish_all(namespace), (name, namespace, data)]
        return [(name, namespace, data)] if name in MODES else []

    def _message(
        self, namespace: list[str], message: Json, metadata: Json
    ) -> list[tuple[str, Sequence[str], Any]]:
        """Part of a message or a whole one: text as deltas, calls of tools when it ends."""
        message_id, kind = message.get("id") or "", message["type"]
        if not kind.lower().startswith("ai"):
            return []
        said: list[Json] = []
        if message_id not in self._open:
            self._open[message_id] = _Message(namespace)
            about = {"langgraph_node": metadata.get("langgraph_node")}
            said += [
                {"event": "message-start", "role": "ai", "id": message_id, "metadata": about},
                {"event": "content-block-start", "index": 0, "content": _text("")},
            ]
        if text := _text_of(message["content"]):
            self._open[message_id].text += text
            delta = {"type": "text-delta", "text": text}
            said.append({"event": "content-block-delta", "index": 0, "delta": delta})
        if not kind.endswith("Chunk") or message.get("chunk_position") == "last":
            said += self._finish(message_id, message.get("tool_calls") or ())
        return [("messages", namespace, {**part, "message_id": message_id}) for part in said]

    def _finish(self, message_id: str, calls: Sequence[Json] = ()) -> list[Json]:
        text = self._open.pop(message_id).text
        ends = [{"event": "content-block-finish", "index": 0, "content": _text(text)}]
        for index, call in enumerate(calls, 1):
            content = {"type": "tool_call", **{k: call.get(k) for k in ("id", "name", "args")}}
            ends += [
                {"event": "content-block-start", "index": index, "content": content},
                {"event": "content-block-finish", "index": index, "content": content},
            ]
        return [*ends, {"event": "message-finish"}]

    def _finish_all(self, namespace: Sequence[str] = ()) -> list[tuple[str, Sequence[str], Any]]:
        """The ends of messages whose task is over: not all models say which chunk is the last."""
        over = {
            i: m for i, m in self._open.items() if m.namespace[: len(namespace)] == [*namespace]
        }
        return [
            ("messages", message.namespace, {**part, "message_id": message_id})
            for message_id, message in over.items()
            for part in self._finish(message_id)
        ]

    async def _end(self, end: RunEnd) -> list[tuple[str, Sequence[str], Any]]:
        asked = await self._questions() if end.status is RunStatus.INTERRUPTED else []
        phase = LIFECYCLE[end.status]
        data: Json = {"event": phase, "run_id": end.run_id, "status": end.status}
        if end.error:
            data["error"] = f"{end.error['error']}: {end.error['message']}"
        questions: list[tuple[str, Sequence[str], Any]] = [
            ("input.requested", (), {"interrupt_id": q["id"], "value": q["value"]}) for q in asked
        ]
        return [*questions, ("lifecycle", (), data)]

    async def _questions(self) -> list[Json]:
        store = self.edge.rt.store
        thread = await whole(store.get_thread(self.thread.thread_id, self.thread.owner))
        return [question for asked in thread.interrupts.values() for question in asked]


def _frame(method: str, namespace: Sequence[str], data: Any, *, seq: int, event_id: str) -> Json:
    params = {"namespace": [*namespace], "timestamp": int(time.time() * 1000), "data": data}
    return {"type": "event", "event_id": event_id, "seq": seq, "method": method, "params": params}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))
