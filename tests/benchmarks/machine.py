"""The machine that measures: what it is, and what its processes have used."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

TICK = os.sysconf("SC_CLK_TCK")


def facts(database_url: str) -> dict[str, Any]:
    """Where and when a run took place, and how busy the machine was with other things."""
    with psycopg.connect(database_url) as connection:
        number = connection.info.server_version
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "postgres": f"{number // 10000}.{number % 10000}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def described(machine: dict[str, Any]) -> str:
    """The facts as a line of text."""
    return (
        "{date}; {cores} cores of {cpu}; Python {python}, Postgres {postgres} with fsync; "
        "load before it {load_before}".format(**machine)
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def cpu_of_tree(pid: int) -> float:
    """Seconds of CPU that a process and all it started have used, those that ended included."""
    below: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        below.setdefault(int(fields[1]), []).append(int(folder.name))
        used[int(folder.name)] = sum(map(int, fields[11:15])) / TICK
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        total += used.get(one, 0.0)
        todo += below.get(one, [])
    return total


def rss_of_tree(pid: int) -> float:
    """MB of memory that a process and all that it started hold now."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        todo += map(int, children)
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6
