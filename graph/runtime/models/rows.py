"""Checkpoints as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.runtime.models.json import Json


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One large channel value; `blob_id` is a hash of its content."""

    blob_id: bytes
    kind: str  # serde type: msgpack, bytes, null, ...
    data: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One checkpoint as stored: `body` holds all but the large channel values."""

    ns: str
    checkpoint_id: str
    parent_id: str | None
    metadata: Json
    body: bytes
    blob_ids: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRow:
    """One pending write of one task of the superstep after `checkpoint_id`."""

    ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint read back, with its blobs and pending writes."""

    row: CheckpointRow
    blobs: Mapping[bytes, BlobRow] = field(default_factory=dict)
    writes: tuple[WriteRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """What a step adds to the checkpoint store; checkpoints oldest first."""

    checkpoints: tuple[CheckpointRow, ...] = ()
    blobs: tuple[BlobRow, ...] = ()
    writes: tuple[WriteRow, ...] = ()
