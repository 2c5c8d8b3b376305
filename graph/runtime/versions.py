"""Which version of a graph made what: pinned on runs, and in the metadata of checkpoints."""

from collections.abc import Mapping
from typing import Any

VERSION = "graph_version"  # of a run, in its kwargs; of a checkpoint, in its metadata


def version_of(metadata: Mapping[str, Any]) -> str | None:
    """The version that made a checkpoint; None for one that was made where nobody told."""
    found = metadata.get(VERSION)
    return found if isinstance(found, str) else None
