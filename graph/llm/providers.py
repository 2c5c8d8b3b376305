"""Where models are called: Anthropic or any base URL, Bedrock, Claude Platform on AWS.

The SDK is loaded on first use; each event loop has a client for each key.
"""

import asyncio
import json
import os
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from graph.errors import PermanentFailure
from graph.llm.settings import model_settings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

TIMEOUT = 120.0  # seconds for a whole call
EPHEMERAL = {"type": "ephemeral"}

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AsyncAnthropic]]" = (
    WeakKeyDictionary()
)
_loaded = False


async def sdk() -> None:
    """Load the SDK beside the event loop, whose others need not wait for it."""
    global _loaded
    if not _loaded:
        await asyncio.to_thread(import_module, "anthropic")
        _loaded = True


def place() -> str:
    """Where calls go, as far as rate limits are concerned."""
    env = model_settings()
    return f"{env.BATON_MODEL_PROVIDER} {os.environ.get('ANTHROPIC_BASE_URL', '')}"


def keys() -> list[str]:
    """The keys of the pool; one empty, when the SDK is to find its own credentials."""
    env = model_settings()
    if env.BATON_MODEL_PROVIDER != "anthropic":
        return [""]
    arn = env.BATON_MODEL_KEYS_SECRET_ARN
    return _split(_secret(arn) if arn else env.ANTHROPIC_API_KEYS) or [""]


def _split(listed: str) -> list[str]:
    return listed.replace(",", " ").split()


@cache
def _secret(arn: str) -> str:
    import boto3

    found: str = boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    return found


def client(key: str = "") -> "AsyncAnthropic":
    """This event loop's client; raises PermanentFailure without credentials."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if key not in clients:
        clients[key] = _made(key)
    return clients[key]


async def close() -> None:
    """Close this event loop's clients, if it has any."""
    for made in _clients.pop(asyncio.get_running_loop(), {}).values():
        await made.close()


def _made(key: str) -> "AsyncAnthropic":
    import anthropic  # thousands of modules

    provider = model_settings().BATON_MODEL_PROVIDER
    # Nothing is retried here: an invocation that waits is paid for.
    bounds: dict[str, Any] = {
        "max_retries": 0,
        "timeout": anthropic.Timeout(TIMEOUT, connect=5.0),
    }
    made: Any
    try:
        if provider == "bedrock":
            made = anthropic.AsyncAnthropicBedrock(**bounds)
        elif provider == "aws":
            made = anthropic.AsyncAnthropicAWS(**bounds)
        else:
            made = anthropic.AsyncAnthropic(api_key=key or None, **bounds)
            if not (made.api_key or made.auth_token or made.credentials):
                raise PermanentFailure("no credentials for Claude: set ANTHROPIC_API_KEY")
    except (anthropic.AnthropicError, ValueError, ImportError) as error:
        raise PermanentFailure(f"no way to Claude by {provider}: {error}") from error
    return made  # type: ignore[no-any-return] # all have `messages`, and are closed alike


def cached(request: dict[str, Any]) -> dict[str, Any]:
    """The request, whose beginning the API is to keep: the next turn sends all of it again."""
    if model_settings().BATON_MODEL_PROVIDER != "bedrock":
        return {"cache_control": EPHEMERAL, **request}
    *before, last = json.loads(json.dumps(request["messages"], default=_plain))
    blocks = last["content"]
    if isinstance(blocks, str):
        blocks = [{"type": "text", "text": blocks}]
    blocks[-1]["cache_control"] = EPHEMERAL
    return {**request, "messages": [*before, {**last, "content": blocks}]}


def _plain(value: Any) -> Any:
    return value.to_dict()
