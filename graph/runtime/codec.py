"""LangGraph's checkpoints to rows and back.

A checkpoint's body is one msgpack map of plain data: everything but the channel values, small
values inline, large ones as the hash of a blob that is stored once per thread. Long lists are
spans of items, which stand in the row beside the body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import ormsgpack
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from graph.runtime.lists import Grown, Log, cut, logged, may_grow, parts
from graph.runtime.models import BlobRow, CheckpointRow, ItemRow, Stored, WriteRow

END = "__end__"  # where a functional entrypoint leaves what it returned
ROOT = "__root__"  # where a state that is not a dict is
BRANCH = "branch:to:"  # the channel that makes a node run
SENDS = "__pregel_tasks"
RECORD = "__baton_record__"  # of writes that are model calls, kept for a replay
INLINE_BYTES = 1024
FORMAT = 3
FORMATS = (1, 2, FORMAT)  # the first had no lists, both had the checkpoint's id twice


class Packed(NamedTuple):
    """A channel value as stored: the bytes themselves, or the blob that holds them."""

    kind: str
    data: bytes
    blob_id: bytes | None = None


Form = Packed | Log
Forms = dict[str, tuple[Any, Form]]  # channel -> its version, and the value as stored


@dataclass(slots=True)
class Known:
    """Checkpoints that were read or made, by namespace and id: what they hold is stored."""

    forms: dict[tuple[str, str], Forms] = field(default_factory=dict)
    grown: Grown = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A checkpoint read back."""

    checkpoint: Checkpoint
    writes: list[PendingWrite]


@dataclass(slots=True)
class Added:
    """What a checkpoint adds to the store."""

    row: CheckpointRow
    blobs: list[BlobRow]
    items: list[ItemRow]


class Codec:
    """Packs and unpacks with one serializer; it never runs what it reads."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde

    def pack(self, value: Any) -> Packed:
        kind, data = self.serde.dumps_typed(value)
        big = len(data) > INLINE_BYTES
        return Packed(kind, data, blake2b(data, digest_size=16).digest() if big else None)

    def encode(
        self,
        ns: str,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        parent_id: str | None,
        *,
        new_versions: ChannelVersions,
        known: Known,
    ) -> Added:
        """The row and what it adds; what is known of its parent is taken as it was stored."""
        base = known.forms.get((ns, parent_id or ""), {})
        forms: Forms = {}
        blobs: list[BlobRow] = []
        items: list[ItemRow] = []
        for channel, value in checkpoint["channel_values"].items():
            version = checkpoint["channel_versions"].get(channel)
            was, form = base.get(channel, (None, None))
            if form is None or channel in new_versions or was != version:
                form, new = self._form(channel, value, form, known.grown)
                if isinstance(new, ItemRow):
                    items += parts(new)
                elif new is not None:
                    blobs.append(new)
            forms[channel] = (version, form)
        known.forms[ns, checkpoint["id"]] = forms
        return Added(_row(ns, checkpoint, metadata, parent_id, forms), blobs, items)

    def _form(
        self, channel: str, value: Any, base: Form | None, grown: Grown
    ) -> tuple[Form, BlobRow | ItemRow | None]:
        """A value as stored, and the row that it needs."""
        if may_grow(value) and channel != SENDS:
            log = base if isinstance(base, Log) else None
            if found := logged(value, log, grown, self.serde):
                return found
        packed = self.pack(value)
        if packed.blob_id is None:
            return packed, None
        return packed, BlobRow(packed.blob_id, packed.kind, packed.data)

    def forms(self, stored: Stored, known: Known) -> Forms:
        """The values as stored."""
        place = (stored.row.ns, stored.row.checkpoint_id)
        if place not in known.forms:
            body = _body(stored.row)
            forms: dict[str, Form] = {c: Packed(*small) for c, small in body["inline"].items()}
            for channel, (kind, blob_id) in body["stored"].items():
                forms[channel] = Packed(kind, stored.blobs[blob_id].data, blob_id)
            for channel, spans in stored.row.lists.items():
                frames = tuple(frame for span in spans for frame in cut(span, stored.items))
                forms[channel] = Log(spans, frames)
                known.grown |= {
                    (name, stop) for name, _, stop in spans if stored.ends.get(name, stop) > stop
                }
            versions = body["rest"]["channel_versions"]
            known.forms[place] = {c: (versions.get(c), form) for c, form in forms.items()}
        return known.forms[place]

    def decode(self, stored: Stored, known: Known | None = None) -> Decoded:
        forms = self.forms(stored, known or Known())
        checkpoint: Checkpoint = _body(stored.row)["rest"] | {"id": stored.row.checkpoint_id}
        checkpoint["channel_values"] = {c: self.read(form) for c, (_, form) in forms.items()}
        told = (w for w in stored.writes if w.channel != RECORD)
        writes = sorted(told, key=lambda w: (w.task_path, w.task_id, w.idx))
        return Decoded(checkpoint, [(w.task_id, w.channel, self.unpack(w)) for w in writes])

    def pending_nodes(self, stored: Stored, known: Known) -> list[str]:
        """The nodes that the next superstep runs, as far as the checkpoint names them."""
        forms = self.forms(stored, known)
        nodes = [c.removeprefix(BRANCH) for c in forms if c.startswith(BRANCH)]
        sends = self.read(forms[SENDS][1]) if SENDS in forms else []
        return nodes + [send.node for send in sends]

    def read(self, form: Form) -> Any:
        """The value that is stored so."""
        return form.read(self.serde) if isinstance(form, Log) else self.unpack(form)

    def unpack(self, packed: Packed | WriteRow) -> Any:
        return self.serde.loads_typed((packed.kind, packed.data))

    def encode_writes(
        self,
        ns: str,
        checkpoint_id: str,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> list[WriteRow]:
        return [
            WriteRow(
                ns,
                checkpoint_id,
                task_id,
                task_path,
                WRITES_IDX_MAP.get(channel, idx),
                channel,
                *self.serde.dumps_typed(value),
            )
            for idx, (channel, value) in enumerate(writes)
        ]


def _row(
    ns: str,
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    parent_id: str | None,
    forms: Forms,
) -> CheckpointRow:
    rest = {k: v for k, v in checkpoint.items() if k not in ("id", "channel_values")}
    inline: dict[str, tuple[str, bytes]] = {}
    stored: dict[str, tuple[str, bytes]] = {}
    lists = {}
    for channel, (_, form) in forms.items():
        if isinstance(form, Log):
            lists[channel] = form.spans
        elif form.blob_id is None:
            inline[channel] = (form.kind, form.data)
        else:
            stored[channel] = (form.kind, form.blob_id)
    body = ormsgpack.packb(
        {"format": FORMAT, "rest": rest, "inline": inline, "stored": stored},
        option=ormsgpack.OPT_NON_STR_KEYS,
    )
    blob_ids = tuple(blob_id for _, blob_id in stored.values())
    return CheckpointRow(ns, checkpoint["id"], parent_id, dict(metadata), body, blob_ids, lists)


def _body(row: CheckpointRow) -> dict[str, Any]:
    body: dict[str, Any] = ormsgpack.unpackb(row.body, option=ormsgpack.OPT_NON_STR_KEYS)
    if body["format"] not in FORMATS:
        raise ValueError(f"checkpoint {row.checkpoint_id} has an unknown format")
    return body


def visible_values(checkpoint: Checkpoint) -> Any:
    """The state as its owner sees it: without LangGraph's own channels.

    A dict of channels, or the one value of a graph whose state is not a dict.
    """
    for whole in (END, ROOT):
        if whole in checkpoint["channel_values"]:
            return checkpoint["channel_values"][whole]
    return {
        channel: value
        for channel, value in checkpoint["channel_values"].items()
        if not channel.startswith(("__", BRANCH))
    }
