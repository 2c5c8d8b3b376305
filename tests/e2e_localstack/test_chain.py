"""The unmodified SDK through LocalStack's API Gateway, Lambda and SQS to Postgres."""

import asyncio

from infra.local.sqs_queue import in_thread
from tests.e2e.account import Deployed
from tests.e2e.test_account import values_after

INPUT = {"log": ["x"]}


async def test_a_run_a_question_and_its_answer(deployed: Deployed) -> None:
    async with deployed.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        values = await values_after(sdk, thread_id, "steps", input=INPUT)
        asking = (await sdk.threads.create())["thread_id"]
        await values_after(sdk, asking, "asks", input=INPUT)
        asked = (await sdk.threads.get(asking))["interrupts"]
        done = await values_after(sdk, asking, "asks", command={"resume": "yes"})

    assert values == {"log": ["x", "a", "b", "c"]}
    assert [one["value"] for task in asked.values() for one in task] == [{"ask": "go on?"}]
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
