"""Every operation of the API's description, with what schemathesis makes up, over real Postgres."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from zlib import crc32

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from starlette.types import ASGIApp, Receive, Scope, Send

from graph.adapters.postgres import PostgresStore
from tests.fixtures.postgres import Server, database
from tests.fixtures.service import service, worker
from tests.integration.test_sdk import served
from tests.integration.test_streams import buffered

EXAMPLES = 6  # for each operation
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ASKS = {"assistant_id": "asks", "input": {"log": ["x"]}}

# The one stream without an end is left out: where answers are buffered there is none.
document = service().app.openapi()
description = schemathesis.openapi.from_dict(document).exclude(path_regex="stream/events$")


def buffered_but_for_commands(app: ASGIApp) -> ASGIApp:
    """The app as it is behind API Gateway, where every stream and every wait has an end.

    Commands are not to be had there.
    """
    behind = buffered(app)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"].endswith("/commands") else behind)(scope, receive, send)

    return either


async def serve(database_url: str, up: Future[str], down: threading.Event) -> None:
    store = PostgresStore(database_url)
    behind = service(store, wait_seconds=0.2, segment_seconds=0.2)
    async with served(buffered_but_for_commands(behind.app)) as url, worker(behind):
        up.set_result(url)
        await asyncio.to_thread(down.wait)
    await store.close()


@pytest.fixture(scope="module")
def url(postgres_server: Server, pgbouncer_server: Server, template_database: str) -> Iterator[str]:
    """The API and a worker, on a loop in a thread of its own: schemathesis only blocks."""
    up: Future[str] = Future()
    down = threading.Event()
    with database(postgres_server, template_database) as name:
        serving = serve(pgbouncer_server.url(name), up, down)
        thread = threading.Thread(target=asyncio.run, args=(serving,))
        thread.start()
        yield up.result(30)
        down.set()
        thread.join()


@pytest.fixture
def things(url: str) -> dict[str, Any]:
    """One of everything that a request can name."""
    with httpx.Client(base_url=url) as client:

        def made(path: str, **body: Any) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        thread_id = made("/threads")["thread_id"]
        return {
            "thread_id": thread_id,
            "run_id": made(f"/threads/{thread_id}/runs", **ASKS)["run_id"],
            "assistant_id": made("/assistants", graph_id="steps")["assistant_id"],
            "cron_id": made("/runs/crons", schedule="0 0 * * *", **ASKS)["cron_id"],
            "graph_id": "asks",
        }


def to_the_point(case: schemathesis.Case[Any], things: dict[str, Any]) -> None:
    """Let every second request name what there is."""
    for said in (case.path_parameters, case.body):
        if isinstance(said, dict):
            said.update({name: things[name] for name in said if name in things})


@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")  # theirs
@description.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(
    case: schemathesis.Case[Any], url: str, things: dict[str, Any]
) -> None:
    if crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 2:
        to_the_point(case, things)

    case.call_and_validate(base_url=url, checks=CHECKS, allow_redirects=False, timeout=20)
