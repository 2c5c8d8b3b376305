"""Fixtures every kind of test may use."""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # as functions/wiring.py, before LangGraph loads

pytest_plugins = ["tests.fixtures.folders", "tests.fixtures.postgres"]
