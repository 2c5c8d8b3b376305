"""Stock LangGraph with AsyncPostgresSaver, in one process and with no server.

Run in an environment of its own; imports nothing of Baton's.
"""

import asyncio
import sys
import time
import uuid
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks.contestants.answering import answer
from tests.benchmarks.project.workloads import W1_INPUT, chat, messages, w1

POOL = 10
FOREVER = 1_000_000  # supersteps


class Stock:
    """Both ways to use the saver: a call for a run, a call for a superstep."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._do(self._open(url))

    def setup(self) -> None:
        self._do(self._saver.setup())

    def converse(self, thread: str, number: int) -> None:
        """Start a conversation with that many messages."""
        self._do(self._talk(thread, {"messages": messages(number)}))

    def steps(self, thread: str, number: int) -> list[float]:
        """Milliseconds of each of the next steps of a conversation."""
        return [self._timed(thread) for _ in range(number)]

    def runs(self, number: int, at_once: int, single: bool) -> None:
        """W1 as often, a call for each superstep or for each run."""
        self._do(self._runs(number, at_once, single))

    def _do(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    async def _open(self, url: str) -> None:
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}
        one = await AsyncConnection.connect(url, row_factory=dict_row, **options)
        self._saver = AsyncPostgresSaver(one)
        pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            url, max_size=POOL, kwargs={"row_factory": dict_row, **options}, open=False
        )
        await pool.open(wait=True)
        self._chat = chat.copy({"checkpointer": self._saver})
        self._w1 = w1.copy({"checkpointer": AsyncPostgresSaver(pool)})

    def _timed(self, thread: str) -> float:
        at = time.perf_counter()
        self._do(self._talk(thread, None))
        return (time.perf_counter() - at) * 1000

    async def _talk(self, thread: str, given: Any) -> None:
        config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": FOREVER}
        await self._chat.ainvoke(given, config, interrupt_after="*")

    async def _runs(self, number: int, at_once: int, single: bool) -> None:
        turn = asyncio.Semaphore(at_once)

        async def run() -> None:
            config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
            given: Any = W1_INPUT
            async with turn:
                if not single:
                    await self._w1.ainvoke(given, config)
                    return
                n = 0
                while n < W1_INPUT["limit"]:
                    n = (await self._w1.ainvoke(given, config, interrupt_after="*"))["n"]
                    given = None

        await asyncio.gather(*(run() for _ in range(number)))


if __name__ == "__main__":
    stock = Stock(sys.argv[1])
    answer(
        {"setup": stock.setup, "converse": stock.converse, "steps": stock.steps, "runs": stock.runs}
    )
