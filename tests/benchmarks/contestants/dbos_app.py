"""W1 as a durable workflow of DBOS: a step for each superstep, its result stored when it ends.

Run in an environment of its own; imports nothing of Baton's.
"""

import asyncio
import sys

from dbos import DBOS

from tests.benchmarks.contestants.answering import answer
from tests.benchmarks.project.workloads import W1_INPUT, Counter, count


async def superstep(state: Counter) -> Counter:
    return {**state, "n": count(state)["n"]}


stored = DBOS.step()(superstep)


async def loop(state: Counter) -> Counter:
    while state["n"] < state["limit"]:
        state = await stored(state)
    return state


w1 = DBOS.workflow()(loop)


class Workflows:
    """DBOS in one process, over its own tables."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        DBOS(config={"name": "baton-w1", "system_database_url": url, "log_level": "WARNING"})

    def setup(self) -> None:
        DBOS.launch()

    def runs(self, number: int, at_once: int) -> int:
        """W1 as often; the steps that were stored."""
        return self._loop.run_until_complete(self._runs(number, at_once))

    async def _runs(self, number: int, at_once: int) -> int:
        turn = asyncio.Semaphore(at_once)

        async def run() -> int:
            async with turn:
                ended: Counter = await w1(W1_INPUT)
                return ended["n"]

        return sum(await asyncio.gather(*(run() for _ in range(number))))


if __name__ == "__main__":
    workflows = Workflows(sys.argv[1])
    answer({"setup": workflows.setup, "runs": workflows.runs})
