"""Fixtures every kind of test may use."""

import os

import pytest

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # as functions/wiring.py, before LangGraph loads

pytest_plugins = [
    "tests.fixtures.folders",
    "tests.fixtures.node",
    "tests.fixtures.postgres",
    "tests.fixtures.process_loop",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the long versions of long tests, too")
