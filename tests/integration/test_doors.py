"""Other protocols' own clients, MCP's and A2A's, against the running server."""

from typing import Any
from uuid import uuid4

import httpx
import httpx2
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers import get_data_parts, get_text_parts, new_data_part, new_text_part
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Role,
    SendMessageRequest,
    TaskState,
)
from a2a.utils.errors import A2AError
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from starlette.exceptions import HTTPException

from functions.api.access.callers import Caller, User
from graph.adapters.postgres import PostgresStore
from graph.runtime.models import ThreadQuery
from tests.fixtures.service import Service, service, worker
from tests.integration.test_sdk import Stack, served, stack
from tests.integration.test_streams import buffered
from tests.unit.test_api_strangers import by_header

__all__ = ["stack"]  # the fixture

TOOLS = {"steps", "asks", "fails", "nests", "chat"}


async def test_every_assistant_is_a_tool(stack: Stack) -> None:
    made = await stack.sdk.assistants.create(
        "steps", name="My steps", description="Takes three steps."
    )
    same = await stack.sdk.assistants.create("steps", name="My steps")
    async with Client(f"{stack.url}/mcp") as mcp:
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        called = await mcp.call_tool("My-steps", {"log": ["x"]})
        again = await mcp.call_tool(same["assistant_id"], {"log": ["y"]})

    assert set(tools) == TOOLS | {"My-steps", same["assistant_id"]}
    assert tools["My-steps"].description == "Takes three steps."
    assert tools["My-steps"].title == "My steps"
    assert set(tools["steps"].input_schema["properties"]) == {"log"}
    assert called.structured_content == {"log": ["x", "a", "b", "c"]}
    assert again.structured_content == {"log": ["y", "a", "b", "c"]}
    assert not called.is_error
    runs = await stack.sdk.threads.search(metadata={"stateless": True})
    assert len(runs) == 2
    assert made["assistant_id"] in {run["metadata"]["assistant_id"] for run in runs}


async def test_a_call_without_a_final_output_says_why(stack: Stack) -> None:
    async with Client(f"{stack.url}/mcp") as mcp:
        failed = await mcp.call_tool("fails", {"log": []})
        asked = await mcp.call_tool("asks", {"log": []})
        with pytest.raises(MCPError, match="no tool 'nobody'"):
            await mcp.call_tool("nobody", {})

    assert failed.is_error
    assert text_of(failed) == "ValueError: as told"
    assert asked.is_error
    assert "waits for a person" in text_of(asked)
    assert asked.structured_content["__interrupt__"][0]["value"] == {"ask": "go on?"}


def text_of(result: Any) -> str:
    return str(result.content[0].text)


class Agent:
    """The SDK's client of one agent."""

    def __init__(
        self, url: str, name: str, *, headers: dict[str, str] | None = None, **config: Any
    ) -> None:
        self.url, self.name, self.headers, self.config = url, name, headers, config

    async def __aenter__(self) -> "Agent":
        self.http = httpx.AsyncClient(timeout=30, headers=self.headers)
        resolver = A2ACardResolver(self.http, f"{self.url}/a2a/{self.name}")
        self.card = await resolver.get_agent_card()
        config = ClientConfig(httpx_client=self.http, **self.config)
        self.client = ClientFactory(config).create(self.card)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.client.close()
        await self.http.aclose()

    async def send(self, *parts: Any, **ids: str) -> list[Any]:
        """Everything that is answered to a message."""
        message = Message(role=Role.ROLE_USER, parts=parts, **{"message_id": str(uuid4()), **ids})
        asked = SendMessageRequest(message=message)
        return [answer async for answer in self.client.send_message(asked)]


async def test_an_agent_answers_a_message(stack: Stack) -> None:
    async with Agent(stack.url, "chat", streaming=False) as agent:
        [answer] = await agent.send(new_text_part("hi"))
        task = answer.task
        [more] = await agent.send(new_text_part("there"), context_id=task.context_id)
        found = await agent.client.get_task(GetTaskRequest(id=task.id))

    assert agent.card.name == "chat"
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert get_text_parts(task.artifacts[0].parts) == ["you said hi"]
    assert found == task
    assert (more.task.context_id, more.task.id != task.id) == (task.context_id, True)
    said = get_data_parts(more.task.artifacts[0].parts)[0]["messages"]
    assert {message["content"] for message in said} == {"hi", "there", "you said there"}
    assert await stack.sdk.runs.get(task.context_id, task.id)


async def test_an_agent_is_streamed(stack: Stack) -> None:
    async with Agent(stack.url, "chat") as agent:
        answers = await agent.send(new_text_part("hi"))

    kinds = [answer.WhichOneof("payload") for answer in answers]
    assert kinds == ["task", "artifact_update", "artifact_update", "status_update"]
    said, output = answers[1].artifact_update.artifact, answers[2].artifact_update.artifact
    assert (said.name, get_text_parts(said.parts)) == ("reply", ["you said hi"])
    assert get_text_parts(output.parts) == ["you said hi"]
    assert answers[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_message_that_comes_twice_makes_one_task(stack: Stack) -> None:
    async with Agent(stack.url, "steps", streaming=False) as agent:
        once = {"message_id": str(uuid4())}
        first = await agent.send(new_data_part({"log": ["x"]}), **once)
        second = await agent.send(new_data_part({"log": ["x"]}), **once)

    assert first == second
    assert len(await stack.sdk.runs.list(first[0].task.context_id)) == 1


async def test_a_task_that_asks_goes_on_with_the_answer(stack: Stack) -> None:
    async with Agent(stack.url, "asks", streaming=False) as agent:
        [asked] = await agent.send(new_data_part({"log": ["x"]}))
        ids = {"task_id": asked.task.id, "context_id": asked.task.context_id}
        [answered] = await agent.send(new_text_part("yes"), **ids)
        found = await agent.client.get_task(GetTaskRequest(id=asked.task.id))

    assert asked.task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert get_data_parts(asked.task.status.message.parts) == [{"ask": "go on?"}]
    assert answered.task == found
    assert (found.id, found.status.state) == (asked.task.id, TaskState.TASK_STATE_COMPLETED)
    assert get_data_parts(found.artifacts[0].parts) == [{"log": ["x", "a", "answered yes", "c"]}]


async def test_failing_and_cancelling(stack: Stack) -> None:
    async with Agent(stack.url, "fails", streaming=False) as agent:
        [failed] = await agent.send(new_data_part({"log": []}))
        with pytest.raises((A2AClientError, A2AError), match="ended"):
            await agent.client.cancel_task(CancelTaskRequest(id=failed.task.id))
    async with Agent(stack.url, "steps", streaming=False) as agent:
        busy = await stack.sdk.threads.create()
        waits = await stack.sdk.runs.create(
            busy["thread_id"], "steps", input={"log": []}, after_seconds=600
        )
        cancelled = await agent.client.cancel_task(CancelTaskRequest(id=waits["run_id"]))
        with pytest.raises((A2AClientError, A2AError), match="another agent"):
            await agent.client.get_task(GetTaskRequest(id=failed.task.id))
        with pytest.raises((A2AClientError, A2AError), match="data part with log"):
            await agent.send(new_text_part("hi"))

    assert failed.task.status.state == TaskState.TASK_STATE_FAILED
    assert get_text_parts(failed.task.status.message.parts) == ["ValueError: as told"]
    assert cancelled.status.state == TaskState.TASK_STATE_CANCELED


async def test_the_older_protocol_and_the_servers_own_card(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        card = (await http.get("/.well-known/agent-card.json")).json()
        other = (await http.get("/.well-known/agent-card.json?assistant_id=chat")).json()
        message = {
            "kind": "message",
            "role": "user",
            "messageId": str(uuid4()),
            "parts": [{"kind": "text", "text": "hi"}],
        }
        asked = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "message/send",
            "params": {"message": message},
        }
        answer = (await http.post("/a2a/chat", json=asked)).json()
        missing = await http.get("/a2a/nobody/.well-known/agent-card.json")

    assert card["name"] in TOOLS
    assert (other["name"], other["protocolVersion"][:3]) == ("chat", "0.3")
    assert other["url"].startswith(f"{stack.url}/a2a/")
    assert answer["result"]["status"]["state"] == "completed"
    assert answer["result"]["artifacts"][0]["parts"][0]["text"] == "you said hi"
    assert missing.status_code == 404


async def test_whoever_comes_by_another_door_is_the_same_owner(database_url: str) -> None:
    store = PostgresStore(database_url)
    behind = service(store, identify=by_header)
    async with served(behind.app) as url, worker(behind):
        alices, mallorys = {"x-owner": "alice"}, {"x-owner": "mallory"}
        async with Agent(url, "chat", headers=alices, streaming=False) as agent:
            [answer] = await agent.send(new_text_part("s3cret"))
        ids = {"task_id": answer.task.id, "context_id": answer.task.context_id}
        async with Agent(url, "chat", headers=mallorys, streaming=False) as agent:
            for wrong in (
                agent.client.get_task(GetTaskRequest(id=answer.task.id)),
                agent.client.cancel_task(CancelTaskRequest(id=answer.task.id)),
                agent.send(new_text_part("hi"), **ids),
            ):
                with pytest.raises((A2AClientError, A2AError), match="does not exist"):
                    await wrong
        async with httpx.AsyncClient(headers=mallorys, base_url=url) as http:
            made = {"graph_id": "steps", "name": "hers"}
            (await http.post("/assistants", json=made)).raise_for_status()
        async with (
            httpx2.AsyncClient(headers=alices) as http2,
            Client(streamable_http_client(f"{url}/mcp", http_client=http2)) as mcp,
        ):
            assert {tool.name for tool in (await mcp.list_tools()).tools} == TOOLS
            await mcp.call_tool("steps", {"log": []})
    assert await owners(store) == {"alice"}
    await store.close()


async def owners(store: PostgresStore) -> set[str]:
    """Of all threads."""
    rows = []
    for owner in ("alice", "mallory", "default"):
        found, _ = await store.search_threads(owner, ThreadQuery())
        rows += found
    return {thread.owner for thread in rows}


async def test_behind_a_gateway_what_takes_longer_goes_on(database_url: str) -> None:
    store = PostgresStore(database_url)
    behind = service(store, wait_seconds=0.2, segment_seconds=0.4)  # and no worker
    async with served(buffered(behind.app)) as url:
        async with Agent(url, "chat", streaming=False) as agent:
            [sent] = await agent.send(new_text_part("hi"))
            await behind.work()
            found = await agent.client.get_task(GetTaskRequest(id=sent.task.id))
        async with Client(f"{url}/mcp") as mcp:
            called = await mcp.call_tool("steps", {"log": []})

    assert sent.task.status.state == TaskState.TASK_STATE_WORKING
    assert found.status.state == TaskState.TASK_STATE_COMPLETED
    assert called.is_error
    assert "goes on" in text_of(called)
    await store.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/mcp"), ("POST", "/a2a/steps"), ("GET", "/.well-known/agent-card.json")],
)
async def test_without_the_packages_a_door_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr("functions.api.doors.inside.find_spec", lambda name: None)
    api: Service = service()

    refusal = await api.call(method, path, {}, status=501)

    assert "install baton[doors]" in refusal["detail"]


async def test_an_id_is_never_a_way_to_another_address(stack: Stack) -> None:
    thread_id = await stack.ran("steps")
    odd = ["../threads", f"x/../../threads/{thread_id}", "a?b", "\x88\x01", "%2e%2e"]
    async with Agent(stack.url, "chat", streaming=False) as agent:
        for text in odd:
            with pytest.raises((A2AClientError, A2AError)):
                await agent.client.get_task(GetTaskRequest(id=text))
            with pytest.raises((A2AClientError, A2AError)):
                await agent.send(new_text_part("hi"), context_id=text)
    async with httpx.AsyncClient(base_url=stack.url) as http:
        for text in odd:
            card = await http.get("/.well-known/agent-card.json", params={"assistant_id": text})
            assert card.status_code == 404


async def test_the_projects_handlers_are_asked_for_what_a_door_does(database_url: str) -> None:
    store = PostgresStore(database_url)
    asked: list[str] = []

    async def by_user(request: Any) -> Caller:
        return Caller("alice", User({"identity": "alice"}))

    async def permit(user: User, resource: str, action: str, value: Any) -> dict[str, Any]:
        asked.append(f"{resource}.{action}")
        if action == "create_run":
            raise HTTPException(403, "no runs today")
        return {}

    behind = service(store, identify=by_user, permit=permit)
    async with served(behind.app) as url:
        async with Client(f"{url}/mcp") as mcp:
            called = await mcp.call_tool("steps", {"log": []})
        async with Agent(url, "chat", streaming=False) as agent:
            with pytest.raises((A2AClientError, A2AError), match="no runs today"):
                await agent.send(new_text_part("hi"))
    await store.close()

    assert (called.is_error, text_of(called)) == (True, "no runs today")
    assert set(asked) == {"assistants.search", "assistants.read", "threads.create_run"}
