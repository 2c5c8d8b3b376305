"""SQS -> one step per message."""

from dataclasses import replace
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from graph.runtime.engine import Runtime
from graph.runtime.jobs import decode
from graph.runtime.step import step


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Step every record at once; what fails comes again, the rest is done."""
    return step_records(event, context, wiring.runtime())


def step_records(
    event: dict[str, Any], context: LambdaContext, rt: Runtime
) -> PartialItemFailureResponse:
    wiring.logger()
    wiring.loop()
    rt = replace(rt, invocation=context.aws_request_id)

    async def take(record: SQSRecord) -> str:
        job = decode(record.body, int(record.attributes.approximate_receive_count or 1))
        return await step(job, rt, time_left=context.get_remaining_time_in_millis() / 1000)

    processor = AsyncBatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return async_process_partial_response(event, take, processor, context)
