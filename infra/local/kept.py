"""A server of the stack that is started again when it dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from infra.local.children import CannotStart, Child, Children, Program, Say

START_TIME = 30.0  # seconds a server may take to answer
PAUSE = 0.5  # seconds before a server that died is started again

Ready = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Server:
    """A program, what returns once it answers, and how to hear it."""

    program: Program
    ready: Ready
    say: Say | None = None


@contextlib.asynccontextmanager
async def kept(server: Server, children: Children) -> AsyncIterator[None]:
    """The server answers; raises CannotStart with its last words when it does not come up."""
    first = await _start(server, children)
    running = [first]
    keeper = asyncio.create_task(_keep(server, children, running))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await running[0].stop(grace=5.0)


async def _keep(server: Server, children: Children, running: list[Child]) -> None:
    while True:
        how = await running[0].wait()
        children.say(server.program.name, f"ended ({how}); it is started again")
        running[0] = await _again(server, children)


async def _again(server: Server, children: Children) -> Child:
    while True:
        await asyncio.sleep(PAUSE)
        try:
            return await _start(server, children)
        except CannotStart as error:
            children.say(server.program.name, str(error))


async def _start(server: Server, children: Children) -> Child:
    child = await children.start(server.program, say=server.say)
    answers = asyncio.ensure_future(server.ready())
    dies = asyncio.ensure_future(child.wait())
    try:
        await asyncio.wait({answers, dies}, timeout=START_TIME, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise CannotStart(await _last_words(child))
        answers.result()
    except BaseException:  # cancelled, too: no server is left behind
        await child.stop()
        raise
    finally:
        answers.cancel()
        dies.cancel()
        await asyncio.gather(answers, dies, return_exceptions=True)
    return child


async def _last_words(child: Child) -> str:
    if child.alive:
        return f"{child.program.name} did not answer within {START_TIME:g} s"
    how = await child.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(child.lines.ended.wait(), PAUSE)
    said = next((line for line in reversed(child.lines.last) if line), "it said nothing")
    return f"{child.program.name} does not start ({how}): {said}"
