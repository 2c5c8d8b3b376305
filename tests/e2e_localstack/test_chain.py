"""The unmodified SDK through LocalStack's API Gateway, Lambda and SQS to Postgres."""

import asyncio

from infra.local.sqs_queue import in_thread
from tests.e2e.account import Deployed

INPUT = {"log": ["x"]}


async def test_a_run_a_question_and_its_answer(deployed: Deployed) -> None:
    async with deployed.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        run = await sdk.runs.create(thread_id, "steps", input=INPUT)
        values = await sdk.runs.join(thread_id, run["run_id"])
        asking = (await sdk.threads.create())["thread_id"]
        asked = await sdk.runs.wait(asking, "asks", input=INPUT)
        answered = await sdk.runs.create(asking, "asks", command={"resume": "yes"})
        done = await sdk.runs.join(asking, answered["run_id"])

    assert values == {"log": ["x", "a", "b", "c"]}
    assert [question["value"] for question in asked["__interrupt__"]] == [{"ask": "go on?"}]
    assert done == {"log": ["x", "a", "answered yes", "c"]}


async def test_a_message_nobody_can_read_becomes_a_dead_letter(deployed: Deployed) -> None:
    sqs, queue = deployed.sqs, deployed.outputs["StepQueueUrl"]
    soon = {"VisibilityTimeout": "2"}
    await in_thread(lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes=soon))
    await in_thread(lambda: sqs.send_message(QueueUrl=queue, MessageBody="?"))
    asked = {"QueueUrl": deployed.outputs["StepDeadLettersUrl"], "WaitTimeSeconds": 5}
    async with asyncio.timeout(60):
        while not (found := await in_thread(lambda: sqs.receive_message(**asked))).get("Messages"):
            pass

    assert [message["Body"] for message in found["Messages"]] == ["?"]
