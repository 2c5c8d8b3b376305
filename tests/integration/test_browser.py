"""A page on the SDK's React hook, in a real browser, against `baton dev`."""

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.environment import MODEL_VARIABLES
from infra.local.stack import Options, Stack
from tests.fixtures.node import CLIENTS, Node

PROJECT = Path(__file__).parents[2] / "langgraph.json"
OURS = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "QUEUE_URL", *MODEL_VARIABLES)
ENVIRON = {key: value for key, value in os.environ.items() if key not in OURS}
TICKET = "We were hacked and customer data was stolen. What must we do?"


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a word."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def page(node: Node, tmp_path: Path) -> Iterator[str]:
    """The support desk, on an origin of its own."""
    shutil.copy(CLIENTS / "page.html", tmp_path)
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()
        serving.join()


async def test_a_person_approves_what_an_agent_wrote_in_a_browser(
    node: Node, chromium: Path, page: str, tmp_path: Path, open_folder: Path
) -> None:
    bundle = ("page.jsx", "--bundle", "--jsx=automatic", f"--outfile={tmp_path / 'page.js'}")
    status, _, error = await node.run("node_modules/.bin/esbuild", *bundle, "--log-level=error")
    assert status == 0, error
    picture = tmp_path / "approval.png"
    options = Options(config=PROJECT, port=0, data=open_folder, queue="memory", environ=ENVIRON)

    async with Stack(options, say=lambda who, line: print(who, line)) as stack:
        seen = await node("browse.js", f"{page}?api={stack.url}", chromium, TICKET, picture)
        async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
            sent = await (await connection.execute("SELECT recipient, body FROM outbox")).fetchall()

    print(f"the page as it waited for the person: {picture}")
    shown = seen["shown"]
    assert (shown["category"], shown["priority"], shown["outcome"]) == (
        "security",
        "critical",
        "sent",
    )
    assert shown["draft"]
    assert shown["draft"].split() == sent[0][1].split()
    assert len(sent) == 1
    assert seen["asked"] == "Send this answer?"
    assert seen["problems"] == []
