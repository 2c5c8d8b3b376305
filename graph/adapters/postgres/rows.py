"""Rows of the store's tables as the engine's nouns, and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from graph.runtime.models import (
    BlobRow,
    CheckpointRow,
    Event,
    ItemRow,
    Rows,
    Run,
    RunStatus,
    Stored,
    Thread,
    ThreadStatus,
    WriteRow,
)
from graph.usage import Spent, Totals, total

PAYLOAD = ("input", "command")  # the part of a request that is read once


def thread(row: Mapping[str, Any]) -> Thread:
    return Thread(
        thread_id=row["thread_id"],
        owner=row["owner"],
        status=ThreadStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=row["metadata"],
        config=row["config"],
        interrupts=row["interrupts"],
        error=row["error"],
        spent=Totals(row["calls"], row["tokens"], row["usd"], row["tool_calls"]),
        head=row["head"],
        seq=row["seq"],
        active_run_id=row["active_run_id"],
        queued=tuple(row["queued"]),
        ttl_minutes=row["ttl_minutes"],
        ttl_strategy=row["ttl_strategy"],
    )


def run(row: Mapping[str, Any]) -> Run:
    return Run(
        run_id=row["run_id"],
        thread_id=row["thread_id"],
        owner=row["owner"],
        assistant_id=row["assistant_id"],
        graph_id=row["graph_id"],
        status=RunStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=row["metadata"],
        kwargs={**row["kwargs"], **(row["payload"] or {})},
        multitask_strategy=row["multitask_strategy"],
        input_applied=row["input_applied"],
        stop_at=row["stop_at"],
        head=row["head"],
        error=row["error"],
        spent=Totals(row["calls"], row["tokens"], row["usd"], row["tool_calls"]),
        ended_at=row.get("ended_at"),
        failures=row.get("failures", 0),
    )


def stored(row: Mapping[str, Any]) -> Stored | None:
    """The checkpoint of a joined row, None when the join found none."""
    if row["checkpoint_id"] is None:
        return None
    blobs = [BlobRow(b, kind.decode(), data) for b, kind, data in row["blobs"] or ()]
    items = row["items"] or ()
    return Stored(
        CheckpointRow(
            row["ns"],
            row["checkpoint_id"],
            row["parent_id"],
            row["metadata"],
            row["body"] or b"",
            tuple(row["blob_ids"]),
            {c: tuple(map(tuple, spans)) for c, spans in row["lists"].items()},
        ),
        {blob.blob_id: blob for blob in blobs},
        tuple(
            WriteRow(
                row["ns"],
                row["checkpoint_id"],
                task_id.decode(),
                task_path.decode(),
                int(idx),
                channel.decode(),
                kind.decode(),
                data,
            )
            for task_id, task_path, idx, channel, kind, data in row["writes"] or ()
        ),
        tuple(ItemRow(_int(i), _int(start), _int(n), data) for i, start, n, _, data in items),
        {_int(i): _int(end) for i, _, _, end, _ in items},
    )


def by_place(rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The rows of claim_1 by their jobs' places, each with the parts of items that follow it."""
    claimed: dict[int, dict[str, Any]] = {}
    for row in rows:
        first = claimed.setdefault(row["place"], row)
        if first is not row:
            first["items"] = [*(first["items"] or ()), row["items"]]
    return claimed


def _int(sent: bytes) -> int:
    return int.from_bytes(sent, signed=True)


def row_params(rows: Rows, *, run_id: str | None = None) -> dict[str, Any]:
    """The parameters of the statements' `rows` part; `run_id` is of the run that wrote them."""
    writes = _distinct(rows.writes)
    return {
        "c_ns": [c.ns for c in rows.checkpoints],
        "c_id": [c.checkpoint_id for c in rows.checkpoints],
        "c_parent": [c.parent_id for c in rows.checkpoints],
        "c_metadata": [Jsonb(c.metadata) for c in rows.checkpoints],
        "c_blobs": [_array(c.blob_ids) for c in rows.checkpoints],
        "c_body": [c.body for c in rows.checkpoints],
        "c_lists": [Jsonb(c.lists) for c in rows.checkpoints],
        "b_id": [b.blob_id for b in rows.blobs],
        "b_kind": [b.kind for b in rows.blobs],
        "b_data": [b.data for b in rows.blobs],
        "i_list": [i.list_id for i in rows.items],
        "i_start": [i.start for i in rows.items],
        "i_count": [i.count for i in rows.items],
        "i_data": [i.data for i in rows.items],
        "w_ns": [w.ns for w in writes],
        "w_checkpoint": [w.checkpoint_id for w in writes],
        "w_task": [w.task_id for w in writes],
        "w_idx": [w.idx for w in writes],
        "w_path": [w.task_path for w in writes],
        "w_channel": [w.channel for w in writes],
        "w_kind": [w.kind for w in writes],
        "w_data": [w.data for w in writes],
        "run_id": run_id,
    }


def _array(ids: Sequence[bytes]) -> str:
    """A bytea[] as text: an array of arrays would have to be a rectangle."""
    return "{" + ",".join(rf'"\\x{id_.hex()}"' for id_ in ids) + "}"


def event_params(events: Sequence[Event]) -> dict[str, Any]:
    """The events' arguments of `tell` and advance_1."""
    names, data = [e.name for e in events], [e.data for e in events]
    return {"e_name": names, "e_data": data}


def spent_params(spent: Sequence[Spent]) -> dict[str, Any]:
    """The parameters that store calls, each and in total."""
    rows = [{**asdict(s), "usd": None if s.usd is None else str(s.usd)} for s in spent]
    return {"spent": Jsonb(rows), **asdict(total(spent))}


def newest_root(rows: Rows) -> str | None:
    """The head that these rows give the thread."""
    return next((c.checkpoint_id for c in reversed(rows.checkpoints) if not c.ns), None)


def _distinct(writes: Sequence[WriteRow]) -> list[WriteRow]:
    """One write for each key, as if they came one after the other: special ones overwrite."""
    kept: dict[tuple[str, str, str, int], WriteRow] = {}
    for write in writes:
        key = (write.ns, write.checkpoint_id, write.task_id, write.idx)
        if write.idx < 0 or key not in kept:
            kept[key] = write
    return list(kept.values())
