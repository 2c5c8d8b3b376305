"""What the functions log: Powertools' lines, written by a formatter of our own."""

import io
import json
import logging
from typing import Any
from uuid import UUID, uuid4

import pytest
from aws_lambda_powertools import Logger

from functions.log_lines import LogLines

SOME_ID = UUID(int=7)
EXTRAS: list[dict[str, Any]] = [
    {},
    {"thread_id": "t", "seq": 3, "tasks": ["a", "ü"], "ms": 1.5, "usage": {"tokens": 1}},
    {"left_out": None, "outcome": SOME_ID, "name_of": {"1": True}},
    {"beyond_orjson": 2**70, "keys": {1: 2}},
]


class Twice:
    """A logger of ours beside one of Powertools' own, each told the same."""

    def __init__(self) -> None:
        self.written = {True: io.StringIO(), False: io.StringIO()}
        self._service = uuid4().hex
        Logger(f"{self._service}-ours", stream=self.written[True], logger_formatter=LogLines())
        Logger(f"{self._service}-theirs", stream=self.written[False])

    def handle(self, record: logging.LogRecord) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two lines, without the name of the service."""
        found = []
        for ours, name in ((True, "ours"), (False, "theirs")):
            stream = self.written[ours]
            stream.seek(0), stream.truncate()
            logging.getLogger(f"{self._service}-{name}").handle(record)
            line = json.loads(stream.getvalue())
            assert line.pop("service") == f"{self._service}-{name}"
            found.append(line)
        return found[0], found[1]


def record(message: object, *args: object, at: float = 1.0, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("baton.step")
    made = logger.makeRecord(
        "baton.step", logging.INFO, "leg.py", 12, message, args, None, "step", extra
    )
    made.created, made.msecs = at, float(int(at * 1000) % 1000)
    return made


@pytest.fixture
def twice() -> Twice:
    return Twice()


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("trace", ["", "Root=1-abc;Parent=d;Sampled=0", "odd"])
def test_a_line_says_what_powertools_would(
    extra: dict[str, Any], trace: str, twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)

    ours, theirs = twice.handle(record("step %s", "done", **extra))

    assert ours == theirs
    assert ours["message"] == "step done"
    assert "left_out" not in ours


def test_the_time_is_right_within_a_second_and_beyond_it(twice: Twice) -> None:
    for at in (1.0, 1.001, 1.9999, 2.0, 61.25, 59.5, 1e9 + 0.5):
        ours, theirs = twice.handle(record("step", at=at))
        assert ours["timestamp"] == theirs["timestamp"]


def test_an_exception_is_told_with_its_trace(twice: Twice) -> None:
    failed = record("failed")
    try:
        raise ValueError("boom")
    except ValueError as error:
        failed.exc_info = (ValueError, error, error.__traceback__)

    ours, theirs = twice.handle(failed)

    assert ours == theirs
    assert "ValueError: boom" in ours["exception"]


def test_a_message_that_is_no_text_is_left_to_powertools(twice: Twice) -> None:
    ours, theirs = twice.handle(record({"message": "x", "n": 1}))

    assert ours == theirs == {**ours, "message": {"message": "x", "n": 1}}
