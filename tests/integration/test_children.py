"""What the stack's processes write, as it is heard."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from infra.local.children import LONGEST_LINE, Child, Children, Program
from infra.local.ledger import Ledger

PATIENCE = 30.0
IN_BITS = """
import os, time
for n in range(300):
    os.write(n % 2 + 1, f"{n} ".encode())  # half a line, to stdout and to stderr
    os.write(n % 2 + 1, b"said\\n")
    if n % 50 == 0:
        time.sleep(0.03)
os.write(1, b"last words")
"""
MUCH = """
import os
for n in range(20_000):
    os.write(1, f"{n} {'x' * 40}\\n".encode())
"""
ENDLESS = "print('y' * 200_000)"


class Heard:
    """What each process said."""

    def __init__(self) -> None:
        self.said: dict[str, list[str]] = {}

    def say(self, who: str, line: str) -> None:
        self.said.setdefault(who, []).append(line)


async def hear(folder: Path, **programs: str) -> dict[str, list[str]]:
    """Run programs at once until each has ended by itself."""
    heard = Heard()
    async with Children(Ledger(folder / "processes.json"), heard.say) as children:
        started = [
            await children.start(
                Program(name, (sys.executable, "-c", text), dict(os.environ), folder)
            )
            for name, text in programs.items()
        ]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(ended(child) for child in started))
    return heard.said


async def ended(child: Child) -> None:
    await child.lines.ended.wait()


async def test_lines_are_whole_and_in_order_whatever_bits_they_come_in(tmp_path: Path) -> None:
    said = await hear(tmp_path, one=IN_BITS, other=IN_BITS)

    expected = [*(f"{n} said" for n in range(300)), "last words"]
    assert said == {"one": expected, "other": expected}


async def test_more_than_a_pipe_holds_is_heard_to_the_end(tmp_path: Path) -> None:
    said = await hear(tmp_path, much=MUCH)

    assert said["much"] == [f"{n} {'x' * 40}" for n in range(20_000)]


async def test_a_line_without_end_is_told_in_parts(tmp_path: Path) -> None:
    said = await hear(tmp_path, endless=ENDLESS)

    assert "".join(said["endless"]) == "y" * 200_000
    assert len(said["endless"]) > 1
    assert max(map(len, said["endless"])) <= 2 * LONGEST_LINE


@pytest.mark.parametrize("code", [0, 3])
async def test_who_says_nothing_ends_all_the_same(tmp_path: Path, code: int) -> None:
    assert await hear(tmp_path, silent=f"raise SystemExit({code})") == {}
