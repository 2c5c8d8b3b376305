"""The API on uvicorn: a process of its own on a socket that the stack holds.

The socket outlives the process: while it is started again, requests wait instead of failing.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import uvicorn

from infra.local.children import CannotStart, Children, Program, python
from infra.local.kept import Server, kept

HOST = "127.0.0.1"
APP = "functions.api.app:app"


@contextlib.contextmanager
def listening(port: int) -> "contextlib.AbstractContextManager[socket.socket]":  # type: ignore[misc]
    yield  # type: ignore[misc]
