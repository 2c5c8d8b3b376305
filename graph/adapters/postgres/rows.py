"""Rows of the store's tables as the engine's nouns, and back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from psycopg.types.json import Jsonb

from graph.adapters.postgres.arrays import Bytes, Column, Documents, Ints, Texts
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
    """The rows of `claim` by their jobs' places, each with the parts of items that follow it."""
    claimed: dict[int, dict[str, Any]] = {}
    for row in rows:
        first = claimed.setdefault(row["place"], row)
        if first is not row:
            first["items"] = [*(first["items"] or ()), row["items"]]
    return claimed


def _int(sent: bytes) -> int:
    return int.from_bytes(sent, signed=True)


_Column = tuple[type[Column], Callable[[Any], Any]]
CHECKPOINTS: Mapping[str, _Column] = {
    "c_ns": (Texts, attrgetter("ns")),
    "c_id": (Texts, attrgetter("checkpoint_id")),
    "c_parent": (Texts, attrgetter("parent_id")),
    "c_metadata": (Documents, lambda row: Jsonb(row.metadata)),
    "c_blobs": (Texts, lambda row: _array(row.blob_ids)),
    "c_body": (Bytes, attrgetter("body")),
    "c_lists": (Documents, lambda row: Jsonb(row.lists)),
}
BLOBS: Mapping[str, _Column] = {
    "b_id": (Bytes, attrgetter("blob_id")),
    "b_kind": (Texts, attrgetter("kind")),
    "b_data": (Bytes, attrgetter("data")),
}
ITEMS: Mapping[str, _Column] = {
    "i_list": (Ints, attrgetter("list_id")),
    "i_start": (Ints, attrgetter("start")),
    "i_count": (Ints, attrgetter("count")),
    "i_data": (Bytes, attrgetter("data")),
}
WRITES: Mapping[str, _Column] = {
    "w_ns": (Texts, attrgetter("ns")),
    "w_checkpoint": (Texts, attrgetter("checkpoint_id")),
    "w_task": (Texts, attrgetter("task_id")),
    "w_idx": (Ints, attrgetter("idx")),
    "w_path": (Texts, attrgetter("task_path")),
    "w_channel": (Texts, attrgetter("channel")),
    "w_kind": (Texts, attrgetter("kind")),
    "w_data": (Bytes, attrgetter("data")),
}


def row_params(rows: Rows, *, run_id: str | None = None) -> dict[str, Any]:
    """The parameters that store rows, a column each; `run_id` is of the run that wrote them."""
    return {
        "run_id": run_id,
        **_columns(CHECKPOINTS, rows.checkpoints),
        **_columns(BLOBS, rows.blobs),
        **_columns(ITEMS, rows.items),
        **_columns(WRITES, _distinct(rows.writes)),
    }


def _columns(table: Mapping[str, _Column], rows: Sequence[Any]) -> dict[str, Any]:
    """None for each where there are no rows."""
    if not rows:
        return dict.fromkeys(table)
    return {name: column(map(of, rows)) for name, (column, of) in table.items()}


def _array(ids: Sequence[bytes]) -> str:
    """A bytea[] as text: an array of arrays would have to be a rectangle."""
    return "{" + ",".join(rf'"\\x{id_.hex()}"' for id_ in ids) + "}"


def event_params(events: Sequence[Event]) -> dict[str, Any]:
    """The events' parameters of `tell` and `advance`."""
    return {"e_name": Texts(e.name for e in events), "e_data": Bytes(e.data for e in events)}


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
