"""One Lambda environment: a process that calls handlers, one invocation at a time.

It is given a socket's number and {"function": "module.handler"}. Over the socket come lines
{"function", "request_id", "deadline", "event"}; each is answered by {"answer"} or {"error"}.
"""

import importlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.local.events import ACCOUNT

Handler = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands to a handler beside the event."""

    aws_request_id: str
    function_name: str
    deadline: float  # seconds since the epoch
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 512
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "local")
        return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return f"local/[{self.function_version}]{os.getpid()}"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self.deadline - time.time()) * 1000))


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)  # a program the user's code starts must not keep it open
    handlers = {name: _load(path) for name, path in json.loads(sys.argv[2]).items()}
    with channel, channel.makefile("rb") as lines:
        _answer(channel, {"ready": os.getpid()})
        for line in lines:
            _answer(channel, _invoke(handlers, json.loads(line)))


def _load(path: str) -> Handler:
    module, _, name = path.rpartition(".")
    handler: Handler = getattr(importlib.import_module(module), name)
    return handler


def _invoke(handlers: dict[str, Handler], asked: dict[str, Any]) -> dict[str, Any]:
    context = Context(asked["request_id"], f"baton-{asked['function']}", asked["deadline"])
    try:
        answer = handlers[asked["function"]](asked["event"], context)
        json.dumps(answer)  # what Lambda cannot send back is an error, too
    except Exception as error:  # the edge to the handler
        traceback.print_exc()
        return {"error": {"type": type(error).__name__, "message": str(error)}}
    return {"answer": answer}


def _answer(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    main()
