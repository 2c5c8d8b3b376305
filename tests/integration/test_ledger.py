"""What a killed stack left behind is ended, and nothing else is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from infra.local.ledger import Entry, Ledger, start_of

SLEEPS = "import time; print(flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


class Leftover:
    """A process that leads a group, as the stack's do."""

    def __init__(self, code: str = SLEEPS) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid

    def entry(self, name: str, stop: int) -> Entry:
        started = start_of(self.pid)
        assert started is not None
        return Entry(self.pid, started, name, stop)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def leftover() -> Iterator[Leftover]:
    made = Leftover()
    yield made
    made.close()


def ledger_of(folder: Path, *entries: Entry) -> Ledger:
    file = folder / "processes.json"
    file.write_text(json.dumps([asdict(entry) for entry in entries]))
    return Ledger(file)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_still_the_same_is_ended(
    leftover: Leftover, tmp_path: Path, number: signal.Signals
) -> None:
    ledger = ledger_of(tmp_path, leftover.entry("api", number))

    assert ledger.end_leftovers() == ["api"]

    assert leftover.process.wait(5) == -number
    assert json.loads(ledger.path.read_text()) == []


def test_one_that_ignores_being_asked_is_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.ledger.PATIENCE", 0.1)
    stubborn = Leftover(STUBBORN)

    ledger_of(tmp_path, stubborn.entry("postgres", signal.SIGTERM)).end_leftovers()

    assert stubborn.process.wait(5) == -signal.SIGKILL
    stubborn.close()


def test_a_stranger_with_a_used_pid_is_left_alone(leftover: Leftover, tmp_path: Path) -> None:
    stranger = Entry(leftover.pid, "another boot 17", "api", signal.SIGKILL)

    assert ledger_of(tmp_path, stranger).end_leftovers() == []

    assert leftover.process.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"pid": 1}]', '{"pid": 1}'])
def test_a_ledger_that_was_cut_off_is_no_obstacle(tmp_path: Path, text: str) -> None:
    file = tmp_path / "processes.json"
    file.write_text(text)

    assert Ledger(file).end_leftovers() == []


def test_the_ledger_knows_what_runs_now(leftover: Leftover, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "processes.json")
    ledger.add(leftover.pid, "api", signal.SIGTERM)
    ledger.add(os.getpid(), "self", signal.SIGTERM)
    ledger.remove(os.getpid())

    assert [entry["name"] for entry in json.loads(ledger.path.read_text())] == ["api"]
