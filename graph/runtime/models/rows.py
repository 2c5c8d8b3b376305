"""Checkpoints as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.runtime.models.json import Json

Span = tuple[int, int, int]  # the items of a list, from one position up to another


@dataclass(frozen=True, slots=True)
class ItemRow:
    """Items that follow each other in a list, the first of them at position `start`."""

    list_id: int
    start: int
    count: int
    data: bytes  # their frames, one after the other

    @property
    def stop(self) -> int:
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One large channel value; `blob_id` is a hash of its content."""

    blob_id: bytes
    kind: str  # serde type: msgpack, bytes, null, ...
    data: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One checkpoint as stored: `body` holds all but the large channel values.

    A long list is said in `lists`: the spans that make it up, by channel.
    """

    ns: str
    checkpoint_id: str
    parent_id: str | None
    metadata: Json
    body: bytes
    blob_ids: tuple[bytes, ...] = ()
    lists: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)


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
    """A checkpoint read back, with its values and pending writes."""

    row: CheckpointRow
    blobs: Mapping[bytes, BlobRow] = field(default_factory=dict)
    writes: tuple[WriteRow, ...] = ()
    items: tuple[ItemRow, ...] = ()  # those of its spans and maybe others
    ends: Mapping[int, int] = field(default_factory=dict)  # of its lists, whoever went on


@dataclass(frozen=True, slots=True)
class Rows:
    """What a step adds to the checkpoint store; checkpoints oldest first."""

    checkpoints: tuple[CheckpointRow, ...] = ()
    blobs: tuple[BlobRow, ...] = ()
    writes: tuple[WriteRow, ...] = ()
    items: tuple[ItemRow, ...] = ()


NO_ROWS = Rows()
