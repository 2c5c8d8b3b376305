"""Webhooks: what is sent, to whom never, and what becomes of failures and of processes that die."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from functions.api.answers import run_json
from graph.adapters.webhook import WebhookPost
from graph.errors import BadInput, Unavailable, Undelivered
from graph.public_web import Refused, allowing
from graph.runtime.housekeeping import remind
from graph.runtime.models import NewRun, Notice, Run, Topic, WebhookStatus
from graph.runtime.runs import start_run, stop_run
from graph.runtime.webhooks import ATTEMPTS, LONGEST_DELAY, Mail, deliver, pause, secrets_of, signed
from tests.fixtures.driver import OWNER, Driver

URL = "https://example.com/hook"
LOCAL = allowing("127.0.0.0/8")


class Died(BaseException):
    """The process is gone."""


@dataclass
class Bell:
    """`Notices` that are looked at."""

    rung: list[tuple[Notice, float]] = field(default_factory=list)
    down: bool = False

    async def send(self, notice: Notice, *, owner: str, delay: float = 0.0) -> None:
        if self.down:
            raise Unavailable("nobody listens")
        self.rung.append((notice, delay))


@dataclass
class Receiver:
    """A `Post` that does as it is told, and remembers."""

    got: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.got.append((url, json.loads(body), dict(headers)))
        if self.failures:
            raise self.failures.pop(0)


class State(TypedDict):
    n: int


def one_node(node: Any) -> Any:
    return StateGraph(State).add_node("n", node).add_edge(START, "n").compile()


COUNTS = one_node(lambda state: {"n": state["n"] + 1})


@dataclass
class Office:
    """A thread whose runs ask for a webhook, and who delivers it."""

    driver: Driver
    bell: Bell
    receiver: Receiver
    mail: Mail

    async def run(self, **kwargs: Any) -> Run:
        return await self.driver.run({"n": 1}, webhook=URL, **kwargs)

    async def deliver(self, run: Run) -> str:
        return await deliver(self.driver.rt, run.run_id, self.mail)

    async def status(self, run: Run) -> WebhookStatus:
        store = self.driver.store
        return (await store.get_webhook(run.run_id, run.thread_id, OWNER)).status


def office(graph: Any = COUNTS, **mail: Any) -> Office:
    driver, bell, receiver = Driver(graph), Bell(), Receiver()
    driver.clock.now = datetime.now(UTC)
    driver.rt = replace(driver.rt, notices=bell)
    return Office(driver, bell, receiver, Mail(receiver, describe=run_json, **mail))


async def test_the_end_of_a_run_is_told_as_the_official_server_does() -> None:
    at = office()
    run = await at.run()
    assert at.bell.rung == [(Notice(Topic.WEBHOOK, run.run_id), 0.0)]
    assert await at.deliver(run) == "delivered"

    ((url, body, headers),) = at.receiver.got
    assert url == URL
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == run.run_id == body["run_id"]
    assert (body["status"], body["values"], body["error"]) == ("success", {"n": 2}, None)
    assert body["thread_id"] == run.thread_id
    assert body["kwargs"]["webhook"] == URL
    assert {"assistant_id", "metadata", "created_at", "multitask_strategy"} <= body.keys()
    assert body["run_started_at"] <= body["run_ended_at"] < body["webhook_sent_at"]
    assert await at.deliver(run) == "not due"
    assert len(at.receiver.got) == 1


async def test_a_run_that_failed_asks_or_was_cancelled_says_so() -> None:
    def fails(state: State) -> State:
        raise ValueError("as told")

    at = office(one_node(fails))
    run = await at.run()
    await at.deliver(run)
    body = at.receiver.got[0][1]
    assert (body["status"], body["error"]) == ("error", "ValueError: as told")
    assert body["values"] == {"n": 1}

    at = office(one_node(lambda state: {"n": interrupt("how many?")}))
    run = await at.run()
    await at.deliver(run)
    body = at.receiver.got[0][1]
    assert (body["status"], body["values"]["__interrupt__"][0]["value"]) == (
        "interrupted",
        "how many?",
    )

    at = office()
    run = await at.driver.ask({"n": 1}, webhook=URL)
    await stop_run(at.driver.rt, run.run_id, run.thread_id, OWNER)
    assert (Notice(Topic.WEBHOOK, run.run_id), 0.0) in at.bell.rung
    await at.deliver(run)
    assert at.receiver.got[0][1]["status"] == "interrupted"
    assert at.receiver.got[0][1]["values"] is None


async def test_a_run_without_a_webhook_rings_for_nobody() -> None:
    at = office()
    run = await at.driver.run({"n": 1})
    assert at.bell.rung == []
    assert await at.deliver(run) == "not due"


async def test_what_fails_comes_again_later_with_the_same_id() -> None:
    at = office(pause=lambda attempts: 10.0 * attempts)
    at.receiver.failures = [Undelivered("status 500: sorry"), Undelivered("no answer")]
    run = await at.run()
    at.bell.rung.clear()
    outcomes = []
    for _ in range(3):
        outcomes.append(await at.deliver(run))
        at.driver.clock.move(5)
        outcomes.append(await at.deliver(run))
        at.driver.clock.move(60)
    assert outcomes == ["again", "not due", "again", "not due", "delivered", "not due"]
    assert [delay for _, delay in at.bell.rung] == [10.0, 20.0]
    assert {headers["webhook-id"] for _, _, headers in at.receiver.got} == {run.run_id}


async def test_it_is_given_up_in_the_end_and_the_last_error_kept() -> None:
    at = office()
    at.receiver.failures = [Undelivered(f"status 500: {n}") for n in range(ATTEMPTS)]
    run = await at.run()
    outcomes = []
    for _ in range(ATTEMPTS):
        outcomes.append(await at.deliver(run))
        at.driver.clock.move(100_000)
    assert outcomes == ["again"] * (ATTEMPTS - 1) + ["failed"]
    assert await at.deliver(run) == "not due"
    seen = await at.driver.store.get_webhook(run.run_id, run.thread_id, OWNER)
    assert (seen.status, seen.attempts) == (WebhookStatus.FAILED, ATTEMPTS)
    assert seen.error == f"status 500: {ATTEMPTS - 1}"


async def test_an_address_that_is_refused_is_never_tried_again() -> None:
    at = office()
    at.receiver.failures = [Refused("it is not on the public internet")]
    run = await at.run()
    assert await at.deliver(run) == "failed"


def test_pauses_grow_are_never_alike_and_outlast_what_a_message_can_wait() -> None:
    for attempts in range(1, ATTEMPTS):
        longest = 5.0 * 3 ** (attempts - 1)
        drawn = [pause(attempts) for _ in range(50)]
        assert all(longest / 2 <= seconds <= longest for seconds in drawn)
        assert len(set(drawn)) > 1
    assert pause(ATTEMPTS - 1) > LONGEST_DELAY


async def test_what_is_due_later_than_a_message_can_wait_is_rung_for_by_the_sweep() -> None:
    at = office(pause=lambda attempts: 2 * LONGEST_DELAY)
    at.receiver.failures = [Undelivered("status 503")]
    run = await at.run()
    at.bell.rung.clear()
    await at.deliver(run)
    assert await remind(at.driver.store, at.bell) == 0
    at.driver.clock.move(2 * LONGEST_DELAY + 16)
    assert await remind(at.driver.store, at.bell) == 1
    assert at.bell.rung == [(Notice(Topic.WEBHOOK, run.run_id), 0.0)]
    assert await at.deliver(run) == "delivered"


async def test_a_process_that_dies_after_the_end_and_before_the_notice_loses_nothing() -> None:
    at = office()

    async def dies(name: str) -> None:
        if name == "after save":
            raise Died

    run = await at.driver.ask({"n": 1}, webhook=URL)
    job = await at.driver.queue.receive()
    assert job is not None
    at.driver.rt = replace(at.driver.rt, cut=dies)
    with pytest.raises(Died):
        await at.driver.deliver(job)
    assert at.bell.rung == []
    at.driver.clock.move(16)
    assert await remind(at.driver.store, at.bell) == 1
    assert await at.deliver(run) == "delivered"


async def test_a_queue_that_is_down_holds_no_step_back_and_loses_nothing() -> None:
    at = office()
    at.bell.down = True
    run = await at.run()
    assert run.status == "success"
    at.bell.down = False
    at.driver.clock.move(16)
    assert await remind(at.driver.store, at.bell) == 1
    assert await at.deliver(run) == "delivered"


async def test_a_process_that_dies_after_the_post_tells_it_twice_with_the_same_id() -> None:
    at = office()

    async def dies(name: str) -> None:
        if name == "after post":
            raise Died

    run = await at.run()
    alive, at.driver.rt = at.driver.rt, replace(at.driver.rt, cut=dies)
    with pytest.raises(Died):
        await at.deliver(run)
    at.driver.rt = alive
    assert await at.deliver(run) == "not due"  # nobody knows yet that it died
    at.driver.clock.move(61)
    assert await at.deliver(run) == "delivered"
    first, second = [headers["webhook-id"] for _, _, headers in at.receiver.got]
    assert first == second == run.run_id


async def test_of_two_consumers_at_once_one_delivers() -> None:
    at = office()
    run = await at.run()
    outcomes = await asyncio.gather(at.deliver(run), at.deliver(run))
    assert sorted(outcomes) == ["delivered", "not due"]
    assert len(at.receiver.got) == 1


async def test_one_that_is_slower_than_its_lease_notes_nothing_over_the_next() -> None:
    at = office()
    run = await at.run()
    slow, released = at.mail, asyncio.Event()

    async def hangs(url: str, body: bytes, headers: Mapping[str, str]) -> None:
        await released.wait()
        raise Undelivered("too late to matter")

    first = asyncio.create_task(deliver(at.driver.rt, run.run_id, replace(slow, post=hangs)))
    await asyncio.sleep(0)
    at.driver.clock.move(61)
    assert await at.deliver(run) == "delivered"
    released.set()
    assert await first == "overtaken"
    assert await at.status(run) is WebhookStatus.DELIVERED


def test_signatures_are_those_of_standard_webhooks_one_for_each_secret() -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    secrets = secrets_of(f"whsec_{key} plain")
    assert secrets == (b"0123456789abcdef", b"plain")
    at = datetime(2026, 11, 21, tzinfo=UTC)
    headers = signed("msg", b'{"a":1}', secrets, at)
    told = f"msg.{int(at.timestamp())}.".encode() + b'{"a":1}'
    wanted = [
        "v1," + base64.b64encode(hmac.digest(secret, told, hashlib.sha256)).decode()
        for secret in secrets
    ]
    assert headers["webhook-timestamp"] == str(int(at.timestamp()))
    assert headers["webhook-signature"] == " ".join(wanted)
    assert "webhook-signature" not in signed("msg", b"", (), at)
    with pytest.raises(ValueError, match=r"[Bb]ase64|padding"):
        secrets_of("whsec_***")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/internal", "whole address"),
        ("ftp://example.com", "http or https"),
        ("https://", "http or https"),
        ("https://me:secret@example.com/hook", "password"),
        ("https://exa mple.com:port", "address"),
        ("https://example.com/" + "x" * 2048, "2048"),
        (7, "2048"),
    ],
)
async def test_an_address_that_nothing_would_go_to_is_refused_with_the_run(
    url: object, why: str
) -> None:
    at = office()
    new = NewRun("r", "thread", OWNER, "graph", "graph", {"input": {"n": 1}, "webhook": url})
    with pytest.raises(BadInput, match=why):
        await start_run(at.driver.rt, new, make_thread=True)
    assert await at.driver.store.runs_by_id(["r"]) == []


async def test_without_a_notify_queue_a_webhook_is_refused() -> None:
    driver = Driver(COUNTS)
    new = NewRun("r", "thread", OWNER, "graph", "graph", {"input": {"n": 1}, "webhook": URL})
    with pytest.raises(BadInput, match="NOTIFY_QUEUE_URL"):
        await start_run(driver.rt, new, make_thread=True)


class Site:
    """A web server on loopback with one answer."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.silent = False
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        if not self.silent:
            writer.write(self.answer)
            await writer.drain()
        else:
            await reader.read()
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def test_a_post_goes_to_the_address_and_no_redirect_is_followed(site: Site) -> None:
    post, url = WebhookPost(allowed=LOCAL), f"http://localhost:{site.port}/hook?a=1"
    await post(url, b"{}", {"webhook-id": "x"})
    assert site.requests[0].startswith(b"POST /hook?a=1 HTTP/1.1")
    assert b"webhook-id: x" in site.requests[0].lower()
    assert f"host: localhost:{site.port}".encode() in site.requests[0].lower()

    site.answer = b"HTTP/1.1 302 Found\r\nlocation: http://localhost/other\r\n\r\n"
    with pytest.raises(Undelivered, match="302"):
        await post(url, b"{}", {})
    assert len(site.requests) == 2


@pytest.mark.parametrize("status", ["404 Not Found", "500 Sorry", "429 Slow"])
async def test_an_answer_that_says_no_is_quoted_and_not_read_to_its_end(
    site: Site, status: str
) -> None:
    body = b"no" * 500_000
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
    site.answer = head.encode() + body
    with pytest.raises(Undelivered, match=status.split()[0]) as caught:
        await WebhookPost(allowed=LOCAL)(f"http://127.0.0.1:{site.port}", b"{}", {})
    assert len(str(caught.value)) < 400


async def test_a_receiver_that_is_gone_for_good_is_left_alone(site: Site) -> None:
    site.answer = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(Refused, match="410"):
        await WebhookPost(allowed=LOCAL)(f"http://127.0.0.1:{site.port}", b"{}", {})


async def test_a_receiver_that_says_nothing_is_waited_for_so_long(site: Site) -> None:
    site.silent = True
    with pytest.raises(Undelivered, match=r"0\.2 s"):
        await WebhookPost(allowed=LOCAL, seconds=0.2)(f"http://127.0.0.1:{site.port}", b"{}", {})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"],
)
async def test_nothing_inside_is_posted_to(site: Site, host: str) -> None:
    with pytest.raises(Refused, match="public internet"):
        await WebhookPost()(f"http://{host}:{site.port}/", b"{}", {})
    assert site.requests == []


async def test_a_name_that_leads_nowhere_is_asked_again_later() -> None:
    with pytest.raises(Undelivered, match="no address"):
        await WebhookPost()("http://nowhere.invalid/", b"{}", {})


def test_networks_are_allowed_by_name() -> None:
    from ipaddress import ip_address

    allowed = allowing("10.1.0.0/16, ::1/128")
    assert allowed(ip_address("10.1.2.3"))
    assert allowed(ip_address("::1"))
    assert not allowed(ip_address("10.2.0.1"))
    with pytest.raises(ValueError, match="network"):
        allowing("inside")
