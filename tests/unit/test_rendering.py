"""Values that JSON text cannot hold as they are."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from graph.runtime.rendering import error_json, to_json
from tests.fixtures.service import service

DEEP = 400


@dataclass
class Point:
    x: int


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_an_integer_beyond_64_bits_becomes_a_float_and_the_rest_stays() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    told = orjson.loads(
        to_json({"big": 2**70, 2**80: -(2**65), "in": [Point(2**64)], "at": when, "n": 2**64 - 1})
    )
    assert told == {
        "big": float(2**70),
        str(float(2**80)): float(-(2**65)),
        "in": [{"x": float(2**64)}],
        "at": "2026-01-01T00:00:00+00:00",
        "n": 2**64 - 1,
    }
    assert orjson.loads(to_json(10**400)) == str(10**400)


class Odd:
    def __str__(self) -> str:
        return "odd \udfff"


def test_half_a_character_is_a_question_mark_and_the_rest_stays() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    told = orjson.loads(to_json({"a\ud800": ["\ud83d\ude00", "\U0001f600", Odd()], "at": when}))
    assert told == {"a?": ["??", "\U0001f600", "odd ?"], "at": "2026-01-01T00:00:00+00:00"}
    assert error_json(ValueError("no \ud800")) == {"error": "ValueError", "message": "no ?"}


def test_what_lies_too_deep_is_left_out() -> None:
    text = to_json({"deep": nested(DEEP), "beside": 1})
    assert b'"..."' in text
    assert orjson.loads(text)["beside"] == 1


@pytest.mark.parametrize(("levels", "status"), [(90, 200), (101, 422), (900, 422)])
async def test_a_request_may_not_be_nested_without_end(levels: int, status: int) -> None:
    api = service()
    body = b'{"metadata": {"a": ' + b"[" * levels + b"]" * levels + b"}}"
    answer = await api.http.post(
        "/threads", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    found = await api.call("POST", "/threads/search", {})
    assert len(found) == (status == 200)
