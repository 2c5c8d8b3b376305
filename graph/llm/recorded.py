"""Calls to the Messages API, recorded and answered from the record."""

import json
from typing import TYPE_CHECKING, Any

from graph.llm.router import node_name
from graph.recording import Call, answers, record, records

if TYPE_CHECKING:
    from anthropic.types import Message

KIND = "messages"


def answered(request: dict[str, Any]) -> "Message | None":
    """What was answered when the step was recorded; None where the model is to be asked.

    Raises NotRecorded.
    """
    found = answers()
    if found is None:
        return None
    from anthropic.types import Message  # noqa: PLC0415 - thousands of modules

    return Message.model_validate(found.find(KIND, node_name(), _plain(request)))


def on_tape(request: dict[str, Any], message: "Message") -> None:
    """Keep a call, if the run asked for it."""
    if records():
        record(Call(KIND, node_name(), _plain(request), message.to_dict(mode="json")))


def _plain(request: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(request, default=lambda value: value.to_dict()))
    return plain
