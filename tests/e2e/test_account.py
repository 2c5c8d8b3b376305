"""The unmodified SDK through template.yaml: API Gateway, Lambda, SQS, EventBridge and Postgres."""

import asyncio
import json
from typing import Any

import httpx
import psycopg
from websockets.asyncio.client import connect

from infra.local.sqs_queue import in_thread
from tests.e2e.account import STACK, Deployed
from tests.e2e.ministack import websocket_path

INPUT = {"log": ["x"]}
PATIENCE = 150.0  # the clock rings once a minute
UNFINISHED = ("pending", "running")


async def test_a_run_its_state_and_its_history(deployed: Deployed) -> None:
    async with deployed.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        values = await values_after(sdk, thread_id, "steps", input=INPUT)
        history = await sdk.threads.get_history(thread_id, limit=20)

    assert values == {"log": ["x", "a", "b", "c"]}
    assert [len(past["values"].get("log", ())) for past in history] == [4, 3, 2, 1, 0]


async def test_a_question_is_asked_and_answered(deployed: Deployed) -> None:
    async with deployed.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        await values_after(sdk, thread_id, "asks", input=INPUT)
        asked = (await sdk.threads.get(thread_id))["interrupts"]
        done = await values_after(sdk, thread_id, "asks", command={"resume": "yes"})

    assert [one["value"] for task in asked.values() for one in task] == [{"ask": "go on?"}]
    assert done == {"log": ["x", "a", "answered yes", "c"]}


async def test_a_run_is_started_and_followed_over_a_websocket(deployed: Deployed) -> None:
    """Frames go through the WebSocket API, events come by the notify queue and @connections."""
    url = deployed.account.endpoint.replace("http:", "ws:") + websocket_path(deployed.outputs)
    key = {"x-api-key": deployed.key}
    async with (
        deployed.sdk() as sdk,
        connect(url, additional_headers=key, open_timeout=PATIENCE) as line,
    ):
        thread = {"thread_id": (await sdk.threads.create())["thread_id"]}
        await line.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": thread}))
        asked = {**thread, "assistant_id": "steps", "input": INPUT}
        await line.send(json.dumps({"id": 2, "method": "run.start", "params": asked}))
        answers: list[str] = []
        frames: list[Any] = []
        async with asyncio.timeout(PATIENCE):
            while not frames or frames[-1]["method"] != "lifecycle":
                message = json.loads(await line.recv())
                if message["type"] == "batch":
                    frames += message["frames"]
                else:
                    answers.append(message["type"])

    assert answers == ["success", "success"]
    assert frames[-1]["params"]["data"]["event"] == "completed"


async def test_without_the_key_nothing_is_answered(deployed: Deployed) -> None:
    async with httpx.AsyncClient() as http:
        refused = await http.post(f"{deployed.url}/threads", json={})
        allowed = await http.get(f"{deployed.url}/ok", headers={"x-api-key": deployed.key})

    assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
    assert (allowed.status_code, allowed.json()) == (200, {"ok": True})


async def test_the_clock_rings_for_what_the_queue_lost(deployed: Deployed) -> None:
    """The queue delivers nothing for a while and loses what it holds; the schedule heals it."""
    functions = deployed.account.client("lambda")
    of_steps = {"FunctionName": f"{deployed.resources['StepFunction']}:live"}
    (source,) = functions.list_event_source_mappings(**of_steps)["EventSourceMappings"]
    await in_thread(
        lambda: functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    )
    async with deployed.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        run = await sdk.runs.create(thread_id, "steps", input=INPUT)
        await in_thread(lambda: deployed.sqs.purge_queue(QueueUrl=deployed.outputs["StepQueueUrl"]))
        with psycopg.connect(deployed.database, autocommit=True) as database:
            database.execute("UPDATE threads SET updated_at = now() - interval '1 hour'")
        await in_thread(
            lambda: functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)
        )
        values = await values_of(sdk, run)

    assert values == {"log": ["x", "a", "b", "c"]}


async def test_what_fails_of_a_batch_comes_again_becomes_a_dead_letter_and_is_redriven(
    deployed: Deployed,
) -> None:
    """A message nobody can read among good ones, which are not taken twice for its sake."""
    sqs, dead = deployed.sqs, deployed.outputs["StepDeadLettersUrl"]
    queue = {"QueueUrl": deployed.outputs["StepQueueUrl"]}
    soon = {"VisibilityTimeout": "5"}  # comes again after 5 s instead of 6 minutes
    await in_thread(lambda: sqs.set_queue_attributes(**queue, Attributes=soon))
    async with deployed.sdk() as sdk:
        threads = [(await sdk.threads.create())["thread_id"] for _ in range(3)]
        await in_thread(lambda: sqs.send_message(**queue, MessageBody="?"))
        runs = [await sdk.runs.create(one, "steps", input=INPUT) for one in threads]
        values = [await values_of(sdk, run) for run in runs]
        histories = [await sdk.threads.get_history(one, limit=20) for one in threads]
    letter = await received(sqs, dead)
    await in_thread(lambda: sqs.send_message(**queue, MessageBody=letter["Body"]))
    again = await received(sqs, dead)

    assert values == [{"log": ["x", "a", "b", "c"]}] * 3
    assert [len(history) for history in histories] == [5, 5, 5]
    assert (letter["Body"], again["Body"]) == ("?", "?")


async def values_after(sdk: Any, thread_id: str, graph: str, **asked: Any) -> Any:
    """A thread's values after a run."""
    return await values_of(sdk, await sdk.runs.create(thread_id, graph, **asked))


async def values_of(sdk: Any, run: Any) -> Any:
    """Asks again and again: functions that start on a busy machine take longer than a request."""
    async with asyncio.timeout(PATIENCE):
        while (await sdk.runs.get(run["thread_id"], run["run_id"]))["status"] in UNFINISHED:
            await asyncio.sleep(0.5)
    return (await sdk.threads.get_state(run["thread_id"]))["values"]


async def received(sqs: Any, url: str) -> Any:
    """The next message of a queue, taken out of it."""
    asked = {"QueueUrl": url, "WaitTimeSeconds": 2}
    async with asyncio.timeout(PATIENCE):
        while not (found := await in_thread(lambda: sqs.receive_message(**asked))).get("Messages"):
            pass
    (message,) = found["Messages"]
    receipt = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    await in_thread(lambda: sqs.delete_message(**receipt))
    return message


async def test_the_account_holds_what_the_template_promises(deployed: Deployed) -> None:
    """Alarms and dashboard of the nested stack, encryption and dead letters of the queues."""
    watch = deployed.account.client("cloudwatch")
    alarms = {a["AlarmName"] for a in watch.describe_alarms()["MetricAlarms"]}
    boards = [board["DashboardName"] for board in watch.list_dashboards()["DashboardEntries"]]
    asked = {"QueueUrl": deployed.outputs["StepQueueUrl"], "AttributeNames": ["All"]}
    queue = deployed.sqs.get_queue_attributes(**asked)["Attributes"]

    assert {f"{STACK}-step-dead-letters", f"{STACK}-lost-claims", f"{STACK}-spend"} <= alarms
    assert f"{STACK}-pinned-sessions" not in alarms  # this profile has no proxy
    assert boards == [STACK]
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"].endswith(
        deployed.outputs["StepDeadLettersUrl"].rpartition("/")[2]
    )
    assert queue["SqsManagedSseEnabled"] == "true"
