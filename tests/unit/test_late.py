"""What loads slowly is loaded beside the event loop."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from graph.runtime.late import late


async def test_others_are_served_while_a_module_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_load.py").write_text(
        "import threading\nby = threading.current_thread()\nthreading.gate_of_the_test.wait(10)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(threading, "gate_of_the_test", gate := threading.Event(), raising=False)
    loading = [asyncio.create_task(late("slow_to_load")) for _ in "ab"]
    while "slow_to_load" not in sys.modules:
        await asyncio.sleep(0.001)
    assert not any(task.done() for task in loading)  # and this test runs on

    gate.set()
    one, two = await asyncio.gather(*loading)

    assert one is two is await late("slow_to_load")
    assert one.by is not threading.main_thread()


async def test_what_does_not_load_is_raised_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            await late("graph.no_such_module")
