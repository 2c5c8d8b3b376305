"""A2A's tasks, which are runs; imported only where somebody speaks A2A."""

import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid5

import httpx
from a2a.helpers import (
    get_data_parts,
    get_text_parts,
    new_data_part,
    new_message,
    new_task,
    new_text_artifact_update_event,
    new_text_part,
)
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import (
    Artifact,
    Message,
    Part,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from fastapi import Request
from orjson import dumps, loads

from functions.api.doors.inside import detail, inside, segment
from functions.api.edge import Edge
from functions.api.following.segments import segment_seconds
from graph.runtime.models import Json
from graph.runtime.telling import Reading, told

STATES = {
    "pending": TaskState.TASK_STATE_SUBMITTED,
    "running": TaskState.TASK_STATE_WORKING,
    "success": TaskState.TASK_STATE_COMPLETED,
    "error": TaskState.TASK_STATE_FAILED,
    "timeout": TaskState.TASK_STATE_FAILED,
    "interrupted": TaskState.TASK_STATE_CANCELED,
}
UNDER_WAY = ("pending", "running")
OF_TASK = "a2a_task"  # in the metadata of a run that goes on with another's task
CONTEXTS = UUID("5a1d1d66-6a0c-4a0e-9f0b-0d2f3f6e4c11")  # names the threads of first messages
FEW = 100  # runs of a thread, in which a task's newest is looked for


class Tasks(RequestHandler):
    """What one caller may do with one agent's tasks."""

    def __init__(self, edge: Edge, request: Request, assistant: Json, owner: str) -> None:
        self.edge, self.request, self.owner = edge, request, owner
        self.assistant_id = assistant["assistant_id"]
        self.api = inside(request)

    async def on_message_send(self, params: Any, _context: Any) -> Task:
        run = await self._start(params.message)
        if params.configuration.return_immediately:
            return _task(run)
        return await self._ended(run)

    async def on_message_send_stream(self, params: Any, _context: Any) -> AsyncGenerator[Any, None]:
        async for event in self._follow(await self._start(params.message)):
            yield event

    async def on_subscribe_to_task(self, params: Any, _context: Any) -> AsyncGenerator[Any, None]:
        async for event in self._follow(await self._run(params.id)):
            yield event

    async def on_get_task(self, params: Any, _context: Any) -> Task:
        run = await self._run(params.id)
        return _task(run) if run["status"] in UNDER_WAY else await self._ended(run)

    async def on_cancel_task(self, params: Any, context: Any) -> Task:
        run = await self._run(params.id)
        answer = await self.api.post(f"{_at(run)}/cancel")
        if answer.is_error:
            raise TaskNotCancelableError(detail(answer))
        return await self.on_get_task(params, context)

    async def on_list_tasks(self, *_: Any) -> Any:
        raise UnsupportedOperationError("list a context's tasks as the runs of its thread")

    async def on_get_extended_agent_card(self, *_: Any) -> Any:
        raise ExtendedAgentCardNotConfiguredError

    async def _without_pushes(self, *_: Any) -> Any:
        raise PushNotificationNotSupportedError

    on_create_task_push_notification_config: Any = _without_pushes
    on_get_task_push_notification_config: Any = _without_pushes
    on_list_task_push_notification_configs: Any = _without_pushes
    on_delete_task_push_notification_config: Any = _without_pushes

    async def _start(self, message: Message) -> Json:
        """The run that a message asks for; the same message again asks for no second one."""
        asked: Json = {"assistant_id": self.assistant_id, "stream_mode": ["messages-tuple"]}
        if message.task_id:
            waits = await self._run(message.task_id)
            thread_id = waits["thread_id"]
            asked["command"] = {"resume": _answer(message)}
            asked["metadata"] = {OF_TASK: message.task_id}
        else:
            thread_id = message.context_id or self._new_context(message)
            asked["input"] = await self._input(message)
            asked["if_not_exists"] = "create"
        key = {"Idempotency-Key": f"a2a {message.message_id}"[:255]}
        answer = await self.api.post(f"/threads/{segment(thread_id)}/runs", json=asked, headers=key)
        run: Json = _said(answer, InvalidParamsError)
        return run

    def _new_context(self, message: Message) -> str:
        name = f"{self.owner} {self.assistant_id} {message.message_id}"
        return str(uuid5(CONTEXTS, name))

    async def _input(self, message: Message) -> Any:
        """Data as it is; text as a message, or as the only text that the agent takes."""
        if get_data_parts(message.parts):
            return _answer(message)
        answer = await self.api.get(f"/assistants/{self.assistant_id}/schemas")
        fields = (_said(answer, InvalidParamsError)["input_schema"] or {}).get("properties", {})
        if "messages" in fields:
            said = {"role": "user", "content": _answer(message), "id": message.message_id}
            return {"messages": [said]}
        if len(fields) == 1 and next(iter(fields.values())).get("type") == "string":
            return {next(iter(fields)): _answer(message)}
        raise InvalidParamsError(f"send a data part with {', '.join(fields) or 'the input'}")

    async def _run(self, task_id: str) -> Json:
        """The newest run of a task of this agent."""
        first = _said(await self.api.get(f"/runs/{segment(task_id)}"), TaskNotFoundError)
        if first["assistant_id"] != self.assistant_id:
            raise TaskNotFoundError(f"task {task_id} is another agent's")
        page = await self.api.get(f"/threads/{first['thread_id']}/runs", params={"limit": FEW})
        runs = _said(page, TaskNotFoundError)
        return next((run for run in runs if run["metadata"].get(OF_TASK) == task_id), first)

    async def _ended(self, run: Json) -> Task:
        """The task as it is when its run is over, or when there is no time to wait any more."""
        joined = await self.api.get(f"{_at(run)}/join")
        if joined.status_code != 200:
            return _task({**run, "status": "running"})
        return _task(_said(await self.api.get(_at(run)), TaskNotFoundError), joined.json())

    async def _follow(self, run: Json) -> AsyncGenerator[Any, None]:
        """The task, what its models say as they say it, its output, and how it stands then."""
        yield _task(run)
        ids = {"task_id": _task_id(run), "context_id": run["thread_id"]}
        [found] = await self.edge.rt.store.runs_by_id([run["run_id"]])
        seen: set[str] = set()
        reading = Reading(until=self._until(), modes=("messages-tuple",))
        async for event in told(self.edge.rt, self.edge.listener, found, reading):
            if event is None or event.name.split("|")[0] != "messages":
                continue
            chunk, about = loads(event.data)
            if (text := _text(chunk)) and chunk.get("type", "").lower().startswith("ai"):
                name, known = about.get("langgraph_node", ""), chunk["id"] in seen
                seen.add(chunk["id"])
                part = {"artifact_id": chunk["id"], "append": known}
                yield new_text_artifact_update_event(name=name, text=text, **ids, **part)
        task = await self._ended(run) if found else _task(run)
        for artifact in task.artifacts:
            yield TaskArtifactUpdateEvent(artifact=artifact, last_chunk=True, **ids)
        yield TaskStatusUpdateEvent(status=task.status, **ids)

    def _until(self) -> float | None:
        if "aws.event" not in self.request.scope:
            return None
        return time.monotonic() + segment_seconds(self.request, self.edge) / 2


def _task(run: Json, values: Any = None) -> Task:
    """A run as a task; `values` are its final ones."""
    said = values if isinstance(values, dict) else {}
    state, about = STATES[run["status"]], None
    if "__interrupt__" in said:
        state, about = TaskState.TASK_STATE_INPUT_REQUIRED, said["__interrupt__"][0]["value"]
    elif "__error__" in said:
        about = f"{said['__error__']['error']}: {said['__error__']['message']}"
    done = values is not None and state == TaskState.TASK_STATE_COMPLETED
    output = [Artifact(artifact_id=run["run_id"], name="output", parts=_parts(values))]
    ids = (_task_id(run), run["thread_id"])
    task = new_task(*ids, state, artifacts=output if done else [])
    if about is not None:
        asked = about if isinstance(about, str) else dumps(about).decode()
        said_parts = [new_text_part(asked)] + ([] if asked == about else [new_data_part(about)])
        task.status.message.CopyFrom(new_message(said_parts, context_id=ids[1], task_id=ids[0]))
    return task


def _task_id(run: Json) -> str:
    return str(run["metadata"].get(OF_TASK) or run["run_id"])


def _at(run: Json) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['run_id']}"


def _parts(values: Any) -> list[Part]:
    """What the last message says, if there are messages, and all of the values."""
    messages = values.get("messages") if isinstance(values, dict) else None
    last = _text(messages[-1]) if isinstance(messages, list) and messages else ""
    return [*([new_text_part(last)] if last else []), new_data_part(values)]


def _text(message: Any) -> str:
    """The text of a message, whether its content is one or made of blocks."""
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else [content]
    texts = [block.get("text") if isinstance(block, dict) else block for block in blocks]
    return "".join(text for text in texts if isinstance(text, str))


def _answer(message: Message) -> Any:
    """What a message says: its first data part, or its text."""
    data = get_data_parts(message.parts)
    return _whole(data[0]) if data else "\n".join(get_text_parts(message.parts))


def _whole(value: Any) -> Any:
    """JSON in which whole numbers are integers again: protobuf knows floats only."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, list) else value


def _said(answer: httpx.Response, refusal: type[Exception]) -> Any:
    if answer.is_error:
        raise refusal(detail(answer))
    return answer.json()
