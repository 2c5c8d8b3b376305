"""What SqsQueue asks of SQS."""

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from graph.adapters.sqs import GROUP_ID, SqsQueue, group_id
from graph.errors import Unavailable
from graph.runtime.jobs import decode
from graph.runtime.models import StepJob

URL = "https://sqs.us-east-1.amazonaws.com/000000000000/steps"
JOB = StepJob(str(uuid4()), 4)


class Recorder:
    """An SQS client that keeps the requests, or fails them."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failure = failure

    def send_message(self, **request: Any) -> None:
        if self.failure:
            raise self.failure
        self.requests.append(request)


async def test_a_job_is_sent_to_its_queue_under_its_owner() -> None:
    client = Recorder()

    await SqsQueue(URL, client=lambda: client).send(JOB, owner="alice")

    (request,) = client.requests
    assert decode(request.pop("MessageBody"), 1) == JOB
    assert request == {"QueueUrl": URL, "MessageGroupId": "alice"}


@pytest.mark.parametrize(("delay", "seconds"), [(0.2, 1), (3.0, 3), (899.5, 900), (86400.0, 900)])
async def test_a_delay_is_whole_seconds_never_early_and_capped(delay: float, seconds: int) -> None:
    client = Recorder()

    await SqsQueue(URL, client=lambda: client).send(JOB, owner="alice", delay=delay)

    assert client.requests[0]["DelaySeconds"] == seconds


async def test_a_queue_without_fairness_gets_no_group() -> None:
    client = Recorder()

    await SqsQueue(URL, client=lambda: client, fair=False).send(JOB, owner="alice")

    assert "MessageGroupId" not in client.requests[0]


@pytest.mark.parametrize("owner", ["", "a b", "ünï", "x" * 129, "line\n"])
def test_an_owner_sqs_would_refuse_is_hashed(owner: str) -> None:
    assert GROUP_ID.fullmatch(group_id(owner))
    assert group_id(owner) == group_id(owner) != group_id(owner + "!")


def test_other_owners_are_left_readable() -> None:
    assert group_id("auth0|alice@example.com") == "auth0|alice@example.com"


async def test_the_client_is_made_once_at_the_first_send() -> None:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    queue = SqsQueue(URL, client=make)
    assert not made
    await queue.send(JOB, owner="alice")
    await queue.send(JOB, owner="alice")

    assert len(made) == 1


@pytest.mark.parametrize(
    "failure",
    [
        EndpointConnectionError(endpoint_url=URL),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage"),
    ],
)
async def test_a_queue_that_does_not_take_it_is_unavailable(failure: Exception) -> None:
    queue = SqsQueue(URL, client=lambda: Recorder(failure))

    with pytest.raises(Unavailable, match=r"sqs.us-east-1.amazonaws.com/000000000000/steps"):
        await queue.send(JOB, owner="alice")
