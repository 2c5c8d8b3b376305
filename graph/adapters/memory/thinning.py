"""Which checkpoints of a thread stay: what `thin` of sweep.sql says, in Python."""

from collections.abc import Collection, Iterator

from graph.adapters.memory.shelf import ROOT, Place, Shelf
from graph.runtime.models import CheckpointRow
from graph.runtime.retention import LATEST

DELTA_MARK = "counters_since_delta_snapshot"  # checkpoints of such a thread need their ancestors


def excess(shelf: Shelf, keep: str, head: str | None, named: Collection[str | None]) -> list[Place]:
    """The places of checkpoints that nothing needs, newest first; `named` are needed by others."""
    rows = sorted(shelf.newest_first(), key=lambda at: _is(at[1], head), reverse=True)
    newest_first = [row for _, row in rows]
    needed = _needed(newest_first, keep, named)
    return [place for row in newest_first if (place := _place(row)) not in needed]


def _needed(rows: list[CheckpointRow], keep: str, named: Collection[str | None]) -> set[Place]:
    roots = list(_roots(rows, keep))
    wanted = {row.checkpoint_id for row in roots}
    if keep != LATEST:
        wanted |= {
            row.parent_id
            for row in roots
            if row.parent_id and row.metadata.get("source") in ("update", "fork")
        }
        wanted |= {checkpoint_id for checkpoint_id in named if checkpoint_id}
    chosen = [row for row in rows if row.ns == ROOT and row.checkpoint_id in wanted]
    chosen += _nested(rows, wanted)
    at = {_place(row): row for row in rows}
    needed: set[Place] = set()
    for row in chosen:
        link: CheckpointRow | None = row
        while link is not None:
            needed.add(_place(link))
            link = at.get((link.ns, link.parent_id or "")) if DELTA_MARK in link.metadata else None
    return needed


def _roots(rows: list[CheckpointRow], keep: str) -> Iterator[CheckpointRow]:
    roots = [row for row in rows if row.ns == ROOT]
    if keep != "run":
        yield from roots[: 1 if keep == LATEST else int(keep)]
        return
    runs: set[str] = set()
    for row in roots:
        run = row.metadata.get("run_id") or row.checkpoint_id
        if run not in runs:
            yield row
        runs.add(run)


def _nested(rows: list[CheckpointRow], wanted: set[str]) -> Iterator[CheckpointRow]:
    """The newest of each nested graph's call that a wanted checkpoint made, and of each memory."""
    of_root: set[tuple[str, str | None]] = set()
    of_ns: set[str] = set()
    for row in rows:
        if row.ns == ROOT:
            continue
        root = (row.metadata.get("parents") or {}).get(ROOT)
        newest_of_root = (row.ns, root) not in of_root
        lasts = row.ns not in of_ns and (root is None or ":" not in row.ns)
        of_root.add((row.ns, root))
        of_ns.add(row.ns)
        if lasts or (newest_of_root and root in wanted):
            yield row


def _is(row: CheckpointRow, head: str | None) -> bool:
    return row.ns == ROOT and row.checkpoint_id == head


def _place(row: CheckpointRow) -> Place:
    return (row.ns, row.checkpoint_id)
