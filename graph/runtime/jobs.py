"""A step job as the text of a queue message, and back."""

import json

from graph.errors import BadInput
from graph.runtime.models import StepJob


def encode(job: StepJob) -> str:
    """Compact JSON: {"thread_id", "seq", "redelivered"}, and a guard's {"guards"}."""
    body = {"thread_id": job.thread_id, "seq": job.seq, "redelivered": job.redelivered}
    if job.guards:
        body["guards"] = job.guards
    return json.dumps(body, separators=(",", ":"))


def decode(text: str, receive_count: int) -> StepJob:
    """The job in a body; one received before counts as redelivered. Raises BadInput."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"a step message must be JSON, not {text[:200]!r}") from error
    if not isinstance(body, dict):
        raise BadInput(f"a step message must be a JSON object, not {text[:200]!r}")
    flag = body.get("redelivered", False)
    if not isinstance(flag, bool):
        raise BadInput(f"redelivered in a step message must be true or false, not {flag!r}")
    guards = body.get("guards")
    if not (guards is None or (isinstance(guards, str) and guards)):
        raise BadInput(f"guards in a step message must be a run's id, not {guards!r}")
    thread_id, seq = _thread_id(body.get("thread_id")), _seq(body.get("seq"))
    return StepJob(thread_id, seq, flag or receive_count > 1, guards)


def _thread_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput(f"thread_id in a step message must be a text, not {value!r}")
    return value


def _seq(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadInput(f"seq in a step message must be a whole number from 0, not {value!r}")
    return value
