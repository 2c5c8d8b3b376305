"""Which processes a stack has started, on disk, so that the next one can end what was left."""

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PATIENCE = 10.0  # seconds a leftover may take to stop


@dataclass(frozen=True, slots=True)
class Entry:
    """A process; pids are used again, so its start tells whether it is still the same one."""

    pid: int
    started: str
    name: str
    stop: int = signal.SIGKILL  # the signal that ends it well


class Ledger:
    """The file; every change is on disk before the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[int, Entry] = {}

    def add(self, pid: int, name: str, stop: int) -> None:
        if (started := start_of(pid)) is not None:
            self._entries[pid] = Entry(pid, started, name, stop)
            self._write()

    def remove(self, pid: int) -> None:
        if self._entries.pop(pid, None) is not None:
            self._write()

    def end_leftovers(self) -> list[str]:
        """End those of the last stack's processes that still run; their names."""
        left = [entry for entry in self._read() if start_of(entry.pid) == entry.started]
        for entry in left:
            end(entry)
        self._write()
        return [entry.name for entry in left]

    def _read(self) -> list[Entry]:
        try:
            return [Entry(**entry) for entry in json.loads(self.path.read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def _write(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps([asdict(entry) for entry in self._entries.values()]))
        new.replace(self.path)


def start_of(pid: int) -> str | None:
    """When a process started, in a form that can only be compared; None when there is none."""
    if not Path("/proc/self/stat").exists():
        return _start_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _start_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def end(entry: Entry) -> None:
    """Stop a process, with force when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    _signal(entry, entry.stop)
    while start_of(entry.pid) == entry.started:
        if time.monotonic() > deadline:
            _signal(entry, signal.SIGKILL)
        time.sleep(0.02)


def _signal(entry: Entry, number: int) -> None:
    try:
        if number == signal.SIGKILL:
            os.killpg(entry.pid, number)  # each leads a group: what it started goes, too
        else:
            os.kill(entry.pid, number)
    except ProcessLookupError:
        return
