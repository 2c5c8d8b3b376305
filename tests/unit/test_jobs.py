"""The body of a step message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import BadInput
from graph.runtime.jobs import decode, encode
from graph.runtime.models import StepJob

THREAD = "00000000-0000-4000-8000-000000000000"
jobs = st.builds(
    StepJob,
    thread_id=st.uuids().map(str),
    seq=st.integers(min_value=0, max_value=2**53),
    redelivered=st.booleans(),
    guards=st.none() | st.uuids().map(str),
)


@given(jobs)
def test_a_job_survives_the_queue(job: StepJob) -> None:
    assert decode(encode(job), receive_count=1) == job


def test_the_body_is_compact_json() -> None:
    assert encode(StepJob(THREAD, 3)) == f'{{"thread_id":"{THREAD}","seq":3,"redelivered":false}}'


@pytest.mark.parametrize(("flag", "count", "redelivered"), [(False, 2, True), (True, 1, True)])
def test_received_before_or_replaced_by_a_copy_is_redelivered(
    flag: bool, count: int, redelivered: bool
) -> None:
    job = decode(encode(StepJob(THREAD, 3, redelivered=flag)), receive_count=count)

    assert job.redelivered is redelivered


def test_a_body_without_the_flag_is_a_first_delivery() -> None:
    body = json.dumps({"thread_id": THREAD, "seq": 0})

    assert decode(body, receive_count=1) == StepJob(THREAD, 0)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        pytest.param("[" * 100_000, "JSON", id="nested too deeply"),
        ("[]", "object"),
        ("null", "object"),
        ("{}", "thread_id"),
        ('{"thread_id": 7, "seq": 1}', "thread_id"),
        ('{"thread_id": "", "seq": 1}', "thread_id"),
        (json.dumps({"thread_id": THREAD}), "seq"),
        (json.dumps({"thread_id": THREAD, "seq": -1}), "seq"),
        (json.dumps({"thread_id": THREAD, "seq": 1.5}), "seq"),
        (json.dumps({"thread_id": THREAD, "seq": True}), "seq"),
        (json.dumps({"thread_id": THREAD, "seq": 1, "redelivered": "no"}), "redelivered"),
        (json.dumps({"thread_id": THREAD, "seq": 1, "guards": 7}), "guards"),
        (json.dumps({"thread_id": THREAD, "seq": 1, "guards": ""}), "guards"),
    ],
)
def test_a_malformed_body_names_what_is_wrong(body: str, names: str) -> None:
    with pytest.raises(BadInput, match=names):
        decode(body, receive_count=1)
