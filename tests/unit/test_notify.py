"""The notify function's batches, and what the API says of webhooks."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from functions import settings as settings_module
from functions import wiring
from functions.api.answers import run_json
from functions.notify.handler import notify_records
from graph.errors import BadInput
from graph.runtime.models import Notice, Topic
from graph.runtime.notices import decode, encode
from graph.runtime.webhooks import Mail
from infra.local.events import sqs_event
from tests.fixtures.around import fails
from tests.fixtures.service import service
from tests.unit.test_functions import REQUIRED, message
from tests.unit.test_sockets import Room
from tests.unit.test_webhooks import URL, Bell, Receiver


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    yield
    wiring.loop().close()
    for cached in (settings_module.settings, wiring.logger, wiring.loop):
        cached.cache_clear()


@pytest.mark.usefixtures("environment")
def test_a_batch_tells_whom_it_can_and_returns_the_rest() -> None:
    room, receiver, loop = Room(), Receiver(), wiring.loop()
    claim = loop.run_until_complete(room.begin())
    loop.run_until_complete(room.join("a"))
    loop.run_until_complete(room.tell(claim, 1))
    told = encode(Notice(Topic.THREAD, room.thread_id))
    bodies = [told, "not a notice", told, encode(Notice(Topic.WEBHOOK, "unknown"))]
    event = sqs_event([message(n, body) for n, body in enumerate(bodies)], "arn:aws:sqs:r:1:q")
    mail = Mail(receiver, describe=run_json)

    answer = notify_records(event, room.rt, mail, room.phones)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "id-1"}]}
    assert room.phones.told("a") == [1]
    assert len(room.phones.messages["a"]) == 1
    assert notify_records(event, room.rt, mail, None)["batchItemFailures"] == [
        {"itemIdentifier": "id-1"}
    ]


@pytest.mark.usefixtures("environment")
def test_a_database_that_is_down_returns_its_records() -> None:
    room = Room()
    fails(room.store.due_subscriptions, ConnectionError("down"))
    told = encode(Notice(Topic.THREAD, room.thread_id))
    event = sqs_event([message(n, told) for n in range(2)], "arn:aws:sqs:r:1:q")
    mail = Mail(Receiver(), describe=run_json)
    failures = notify_records(event, room.rt, mail, room.phones)["batchItemFailures"]
    assert [failure["itemIdentifier"] for failure in failures] == ["id-0", "id-1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        pytest.param("[" * 100_000, id="nested too deeply"),
        "{}",
        '{"topic": "other", "key": "x"}',
        '{"topic": "thread", "key": 1}',
    ],
)
def test_what_is_no_notice_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="notice"):
        decode(text)


def test_a_notice_is_read_back() -> None:
    for topic in Topic:
        assert decode(encode(Notice(topic, "key"))) == Notice(topic, "key")


async def test_the_api_takes_a_webhook_and_tells_how_it_stands() -> None:
    at = service()
    bell = Bell()
    rt = replace(at.rt, notices=bell)
    edge = at.app.state.edge()
    at.app.state.edge = lambda: replace(edge, rt=rt)
    thread_id = await at.thread()
    refused = await at.call(
        "POST",
        f"/threads/{thread_id}/runs",
        {"assistant_id": "steps", "input": {}, "webhook": "/internal"},
        status=422,
    )
    assert "whole address" in refused["detail"]
    run = await at.run(thread_id, "steps", input={}, webhook=URL)
    assert run["kwargs"]["webhook"] == URL
    path = f"/threads/{thread_id}/runs/{run['run_id']}/webhook"
    await at.call("GET", path, status=404)
    await at.call("POST", f"/threads/{thread_id}/runs/{run['run_id']}/cancel", status=202)
    assert Notice(Topic.WEBHOOK, run["run_id"]) in [notice for notice, _ in bell.rung]
    told = await at.call("GET", path)
    assert (told["status"], told["attempts"], told["url"]) == ("pending", 0, URL)
