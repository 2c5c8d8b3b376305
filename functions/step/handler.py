"""SQS -> one step per message."""

import asyncio
from dataclasses import replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from graph.runtime.engine import Runtime
from graph.runtime.jobs import decode
from graph.runtime.step import step

Record = dict[str, Any]
Failures = dict[str, list[dict[str, str]]]  # what Lambda reads: which records come again


def handler(event: dict[str, Any], context: LambdaContext) -> Failures:
    """Step every record at once; what fails comes again, the rest is done."""
    return step_records(event, context, wiring.runtime())


def step_records(event: dict[str, Any], context: LambdaContext, rt: Runtime) -> Failures:
    """All on the process's one event loop: connections outlive the invocation."""
    logger = wiring.logger()
    rt = replace(rt, invocation=context.aws_request_id)
    records: list[Record] = event["Records"]

    async def take(record: Record) -> str:
        job = decode(record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        return await step(job, rt, time_left=context.get_remaining_time_in_millis() / 1000)

    async def take_all() -> list[str | BaseException]:
        return await asyncio.gather(*map(take, records), return_exceptions=True)

    ended = wiring.loop().run_until_complete(take_all())
    failed = []
    for record, how in zip(records, ended, strict=True):
        if isinstance(how, BaseException):
            logger.error("record failed", extra={"message_id": record["messageId"]}, exc_info=how)
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
