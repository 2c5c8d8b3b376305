"""SQS -> one step per message."""

from dataclasses import replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import cold_start, wiring
from graph.errors import BadInput
from graph.runtime.engine import Runtime
from graph.runtime.jobs import decode
from graph.runtime.models import StepJob
from graph.runtime.step import step_all

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

    jobs = [_job(record) for record in records]
    asked = [job for job in jobs if isinstance(job, StepJob)]
    time_left = context.get_remaining_time_in_millis() / 1000
    ended = iter(wiring.loop().run_until_complete(step_all(asked, rt, time_left=time_left)))
    outcomes = [next(ended) if isinstance(job, StepJob) else job for job in jobs]
    failed = []
    for record, how in zip(records, outcomes, strict=True):
        if isinstance(how, BaseException):
            logger.error("record failed", extra={"message_id": record["messageId"]}, exc_info=how)
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _job(record: Record) -> StepJob | BadInput:
    try:
        return decode(record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
    except BadInput as error:
        return error


cold_start.imported()
