"""What followers of a run see of Claude, beside what they see of another LangChain chat model."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.constants import TAG_NOSTREAM
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, Field

from graph.llm.batches import Collected
from graph.llm.chat import Claude
from graph.llm.chunks import chunks_of
from graph.runtime.models import RunStatus
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted
from tests.unit.test_step_events import heard

TEXT = "The sea is calm, and the light turns through the night. " * 2
ARGS = {"city": "Oslo, where the ships of the north come in"}
CUT = 40  # characters of a piece, as the local server sends them
GIVEN = {"messages": [{"type": "human", "content": "Hello", "id": "said"}]}
OWN = ("run_id", "ls_", "langgraph_checkpoint_ns", "checkpoint_ns", "baton", "thread_id")


class Weather(BaseModel):
    """The weather of a city."""

    city: str


def pieces(text: str) -> Iterable[str]:
    return (text[n : n + CUT] for n in range(0, len(text), CUT))


class Other(BaseChatModel):
    """A chat model that streams as those of LangChain's partners do."""

    said: list[AIMessageChunk] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "other"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("it streams")

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.said:
            yield ChatGenerationChunk(message=chunk)


def last(sent: int, received: int, stop_reason: str) -> AIMessageChunk:
    usage: Any = {
        "input_tokens": sent,
        "output_tokens": received,
        "total_tokens": sent + received,
        "input_token_details": {"cache_read": 0, "cache_creation": 0},
    }
    facts = {
        "model_name": "claude-haiku-5-5",
        "model_provider": "anthropic",
        "stop_reason": stop_reason,
    }
    return AIMessageChunk(
        content="", usage_metadata=usage, response_metadata=facts, chunk_position="last"
    )


SAYING = [*(AIMessageChunk(content=piece) for piece in pieces(TEXT)), last(5, 7, "end_turn")]


def called(args: str, name: str | None = None, call_id: str | None = None) -> AIMessageChunk:
    call = tool_call_chunk(name=name, args=args, id=call_id, index=0)
    return AIMessageChunk(content="", tool_call_chunks=[call])


CALLING = [
    called("", "Weather", "toolu_1"),
    *(called(piece) for piece in pieces(json.dumps(ARGS))),
    last(5, 7, "tool_use"),
]
SAID: dict[str, Any] = {"content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"}
CALLED: dict[str, Any] = {
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "Weather", "input": ARGS}],
    "stop_reason": "tool_use",
}
FACTS = {"model": "claude-haiku-5-5", "usage": {"input_tokens": 5, "output_tokens": 7}}


def thinking(model: Any, **config: Any) -> Any:
    async def think(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config or None)]}

    built = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think")
    return built.compile()


async def followed(graph: Any, mode: str) -> list[Any]:
    """The events of a run, without what every call has of its own."""
    driver = Driver(graph)
    run = await driver.run(GIVEN, stream_mode=[mode])
    assert run.status is RunStatus.SUCCESS, run.error
    events = await heard(driver, run.run_id)
    ids: dict[str, str] = {}
    return [(event.name, alike(orjson.loads(event.data), ids)) for event in events]


async def streamed(graph: Any) -> list[Any]:
    """What LangGraph itself streams, chunk by chunk."""
    ids: dict[str, str] = {}
    stream: Any = graph.astream(GIVEN, stream_mode="messages")
    return [alike([message.model_dump(), facts], ids) async for message, facts in stream]


def alike(data: Any, ids: dict[str, str]) -> Any:
    """Ids by the order in which they came; a message keeps one over all its chunks."""
    if isinstance(data, dict):
        return {
            key.partition("--")[0]: ids.setdefault(value, f"{value.partition('--')[0]}, {len(ids)}")
            if key == "id" and isinstance(value, str)
            else alike(value, ids)
            for key, value in data.items()
            if not key.startswith(OWN)
        }
    return [alike(item, ids) for item in data] if isinstance(data, list) else data


MODES = ["messages", "messages-tuple", "events"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("script", "chunks"), [(SAID, SAYING), (CALLED, CALLING)])
async def test_followers_see_the_same_of_both(
    scripted: list[Any], mode: str, script: Any, chunks: Any
) -> None:
    scripted += [script | FACTS]
    ours = await followed(thinking(Claude().bind_tools([Weather])), mode)
    theirs = await followed(thinking(Other(said=chunks)), mode)
    if mode == "events":  # which name the model's class, and what it was bound to
        ours, theirs = ([e[1]["event"] for e in events] for events in (ours, theirs))
    assert ours
    assert ours == theirs


@pytest.mark.parametrize(("script", "chunks"), [(SAID, SAYING), (CALLED, CALLING)])
async def test_langgraph_streams_the_same_chunks_of_both(
    scripted: list[Any], script: Any, chunks: Any
) -> None:
    scripted += [script | FACTS]
    ours = await streamed(thinking(Claude().bind_tools([Weather])))
    assert len(ours) == len(chunks)
    assert ours == await streamed(thinking(Other(said=chunks)))


async def test_what_is_not_to_be_streamed_is_not(scripted: list[Any]) -> None:
    scripted += [SAID | FACTS]
    ours = await streamed(thinking(Claude(), tags=[TAG_NOSTREAM]))
    assert ours == await streamed(thinking(Other(said=SAYING), tags=[TAG_NOSTREAM]))
    assert len(ours) == 1  # what the node returns


async def test_a_call_of_a_tool_is_whole_and_names_its_model(scripted: list[Any]) -> None:
    scripted += [CALLED | FACTS]
    answer = await Claude().bind_tools([Weather]).ainvoke("Hello")
    assert [(c["name"], c["args"], c["id"]) for c in answer.tool_calls] == [
        ("Weather", ARGS, "toolu_1")
    ]
    assert answer.invalid_tool_calls == []
    assert answer.response_metadata["stop_reason"] == "tool_use"


async def test_a_call_without_arguments_is_whole_too(scripted: list[Any]) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "Weather", "input": {}}
    scripted += [{"content": [block], "stop_reason": "tool_use"}]
    answer = await Claude().bind_tools([Weather]).ainvoke("Hello")
    assert [call["args"] for call in answer.tool_calls] == [{}]


async def test_an_answer_that_a_batch_or_a_record_brought_is_told_alike() -> None:
    text = {"type": "text", "text": TEXT}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Weather", "input": ARGS}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "stop_sequence": None}
    said = {**head, **FACTS, "content": [text, call], "stop_reason": "tool_use"}
    chunks = [chunk async for chunk in chunks_of(Collected(Message.model_validate(said)))]
    whole = add_ai_message_chunks(*chunks)
    assert whole.content == TEXT
    assert [(c["name"], c["args"], c["id"]) for c in whole.tool_calls] == [
        ("Weather", ARGS, "toolu_1")
    ]
    assert whole.usage_metadata == CALLING[-1].usage_metadata
    assert whole.response_metadata == CALLING[-1].response_metadata
