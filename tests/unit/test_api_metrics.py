"""/metrics: what it tells, and whom."""

from typing import Any

import pytest

from functions.api.access.callers import Caller
from tests.fixtures.service import service

SECRET = {"authorization": "Bearer s3cret"}


async def somebody(request: Any) -> Caller:
    return Caller("alice")


async def test_what_stands_is_told_in_prometheus_text() -> None:
    api = service()
    await api.ran("steps", input={"log": []})
    await api.ran("asks", input={"log": []})
    await api.run(await api.thread(), "steps", input={"log": []})

    answer = await api.http.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert answer.text.endswith("\n")
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert told["baton_steps_due"] == "1"
    assert told["baton_threads_waiting"] == "1"
    assert told['baton_runs{status="pending"}'] == "1"
    assert told['baton_runs_ended_last_hour{status="success"}'] == "1"
    assert float(told['baton_table_bytes{table="threads"}']) > 0
    for name in told:
        assert f"# TYPE {name.split('{')[0]} gauge" in lines


@pytest.mark.parametrize(
    ("limits", "headers", "status"),
    [
        ({}, {}, 200),
        ({"identify": somebody}, {}, 403),
        ({"identify": somebody}, SECRET, 403),
        ({"metrics_token": "s3cret"}, {}, 401),
        ({"metrics_token": "s3cret"}, {"authorization": "Bearer ö".encode()}, 401),
        ({"metrics_token": "s3cret"}, {"authorization": "Basic s3cret"}, 401),
        ({"metrics_token": "s3cret"}, SECRET, 200),
        ({"metrics_token": "s3cret", "identify": somebody}, SECRET, 200),
    ],
)
async def test_who_may_read_them(limits: Any, headers: Any, status: int) -> None:
    api = service(**limits)
    answer = await api.http.get("/metrics", headers=headers)
    assert answer.status_code == status
