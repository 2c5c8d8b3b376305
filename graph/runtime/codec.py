"""LangGraph's checkpoints to rows and back.

A checkpoint's body is one msgpack map of plain data: everything but the channel values, small
values inline, large ones as the hash of a blob that is stored once per thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

from graph.runtime.models import BlobRow, CheckpointRow, Stored, WriteRow

END = "__end__"  # where a functional entrypoint leaves what it returned
ROOT = "__root__"  # where a state that is not a dict is
BRANCH = "branch:to:"  # the channel that makes a node run
SENDS = "__pregel_tasks"
INLINE_BYTES = 1024
FORMAT = 1


class Packed(NamedTuple):
    """A channel value as stored: the bytes themselves, or the blob that holds them."""

    kind: str
    data: bytes
    blob_id: bytes | None = None


Known = dict[tuple[str, Any], Packed]  # (channel, version) -> value, so it is not packed twice


@dataclass(frozen=True, slots=True)
class Decoded:
    """A checkpoint read back and the packed form of its values."""

    checkpoint: Checkpoint
    writes: list[PendingWrite]
    known: Known


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
    ) -> tuple[CheckpointRow, list[BlobRow]]:
        """The row and the blobs it adds.

        A value that is not in `new_versions` and is known is taken as it was stored.
        """
        inline: dict[str, tuple[str, bytes]] = {}
        stored: dict[str, tuple[str, bytes]] = {}
        added: list[BlobRow] = []
        for channel, value in checkpoint["channel_values"].items():
            key = (channel, checkpoint["channel_versions"].get(channel))
            packed = None if channel in new_versions else known.get(key)
            if packed is None:
                packed = known[key] = self.pack(value)
                if packed.blob_id is not None:
                    added.append(BlobRow(packed.blob_id, packed.kind, packed.data))
            if packed.blob_id is None:
                inline[channel] = (packed.kind, packed.data)
            else:
                stored[channel] = (packed.kind, packed.blob_id)
        rest = {k: v for k, v in checkpoint.items() if k != "channel_values"}
        body = ormsgpack.packb(
            {"format": FORMAT, "rest": rest, "inline": inline, "stored": stored},
            option=ormsgpack.OPT_NON_STR_KEYS,
        )
        blob_ids = tuple(blob_id for _, blob_id in stored.values())
        row = CheckpointRow(ns, checkpoint["id"], parent_id, dict(metadata), body, blob_ids)
        return row, added

    def decode(self, stored: Stored) -> Decoded:
        body = ormsgpack.unpackb(stored.row.body, option=ormsgpack.OPT_NON_STR_KEYS)
        if body["format"] != FORMAT:
            raise ValueError(f"checkpoint {stored.row.checkpoint_id} has an unknown format")
        packed = {c: Packed(kind, data) for c, (kind, data) in body["inline"].items()}
        for channel, (kind, blob_id) in body["stored"].items():
            packed[channel] = Packed(kind, stored.blobs[blob_id].data, blob_id)
        checkpoint: Checkpoint = body["rest"]
        checkpoint["channel_values"] = {c: self.unpack(p) for c, p in packed.items()}
        versions = checkpoint["channel_versions"]
        return Decoded(
            checkpoint=checkpoint,
            writes=[
                (w.task_id, w.channel, self.unpack(w))
                for w in sorted(stored.writes, key=lambda w: (w.task_path, w.task_id, w.idx))
            ],
            known={(c, versions.get(c)): p for c, p in packed.items()},
        )

    def pending_nodes(self, stored: Stored) -> list[str]:
        """The nodes that the next superstep runs, as far as the checkpoint names them."""
        body = ormsgpack.unpackb(stored.row.body, option=ormsgpack.OPT_NON_STR_KEYS)
        nodes = [c.removeprefix(BRANCH) for c in body["inline"] if c.startswith(BRANCH)]
        if SENDS in body["inline"]:
            sends = self.unpack(Packed(*body["inline"][SENDS]))
        elif SENDS in body["stored"]:
            kind, blob_id = body["stored"][SENDS]
            sends = self.unpack(Packed(kind, stored.blobs[blob_id].data))
        else:
            sends = []
        return nodes + [send.node for send in sends]

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
