"""Calls to the Messages API, recorded and answered from the record."""

import json
from typing import TYPE_CHECKING, Any

from graph.llm.router import node_name
from graph.recording import Call, answers, record, records

if TYPE_CHECKING:
    from anthropic.types import Message

Json = dict[str, Any]

MESSAGE, COUNT = "messages", "count_tokens"


def answered(request: Json) -> "Message | None":
    """What was answered when the step was recorded; None where the model is to be asked.

    Raises NotRecorded.
    """
    found = recorded(MESSAGE, request)
    if found is None:
        return None
    from anthropic.types import Message  # thousands of modules

    return Message.model_validate(found)


def recorded(kind: str, request: Json) -> Json | None:
    """The response as it was recorded; None where nothing is answered from a record."""
    found = answers()
    return None if found is None else found.find(kind, node_name(), _plain(request))


def on_tape(kind: str, request: Json, response: Json) -> None:
    """Keep a call, if the run asked for it."""
    if records():
        record(Call(kind, node_name(), _plain(request), response))


def _plain(request: Json) -> Json:
    plain: Json = json.loads(json.dumps(request, default=lambda value: value.to_dict()))
    return plain
