"""Recorded model calls, stored as writes beside the checkpoint that their step started from."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.checkpoint.serde.base import SerializerProtocol
from typing_extensions import override

from graph.recording import Call, Json, record
from graph.runtime.codec import RECORD
from graph.runtime.models import Claim, Run, StepResult, Stored, WriteRow
from graph.runtime.rendering import jsonable

KIND = "langchain"
OWN = "claude"  # graph/llm, which tells of its calls itself
SAID = ("type", "content", "tool_calls", "tool_call_id", "name")


def wants_record(run: Run | None) -> bool:
    """Whether a run, or its assistant, asked for its model calls to be kept."""
    config = (run.kwargs.get("config") if run else None) or {}
    return (config.get("configurable") or {}).get("record") is True


def with_calls(
    result: StepResult, claim: Claim, calls: Sequence[Call], serde: SerializerProtocol
) -> StepResult:
    """The result with its calls among the rows: they are kept and go with its checkpoints."""
    if not calls or result.ran_from is None:
        return result
    task_id = f"{RECORD}:{claim.seq}:{claim.fence}"
    rows = [
        WriteRow("", result.ran_from, task_id, "", idx, RECORD, *serde.dumps_typed(asdict(call)))
        for idx, call in enumerate(calls)
    ]
    return replace(result, rows=replace(result.rows, writes=(*result.rows.writes, *rows)))


def calls_of(stored: Stored, serde: SerializerProtocol) -> list[Call]:
    """The calls of the steps, and attempts at one, that started from a checkpoint."""
    rows = [row for row in stored.writes if row.channel == RECORD]
    rows.sort(key=lambda row: (*map(int, row.task_id.split(":")[1:]), row.idx))
    return [Call(**serde.loads_typed((row.kind, row.data))) for row in rows]


class Recorder(BaseCallbackHandler):
    """Keeps what the project's own LangChain chat models are asked and answer."""

    run_inline = True

    def __init__(self) -> None:
        self._asked: dict[UUID, tuple[str, Json]] = {}

    @override
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if (kwargs.get("invocation_params") or {}).get("_type") != OWN:
            asked = asked_json([vars(message) for message in messages[0]])
            self._asked[run_id] = (str((metadata or {}).get("langgraph_node", "")), asked)

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        node, asked = self._asked.pop(run_id, ("", None))
        (generation,) = response.generations[0][:1]
        if asked is not None and isinstance(generation, ChatGeneration):
            record(Call(KIND, node, asked, jsonable(message_to_dict(generation.message))))

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._asked.pop(run_id, None)


def asked_json(messages: Sequence[Json]) -> Json:
    """What a model was asked, without the ids that are made anew for each call."""
    said = [{key: m[key] for key in SAID if m.get(key)} for m in messages]
    return {"messages": jsonable(said)}
