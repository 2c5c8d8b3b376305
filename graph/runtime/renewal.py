"""State that changes shape: what a project's hooks make of a checkpoint before a step starts.

The change is the step's own: the step finds it in the checkpoint that it starts from, and saves it
with the one that it makes. Until then the thread stands where it stood, and the hooks are called
again on what stands there: never on what they made themselves.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from langgraph.checkpoint.base import Checkpoint

from graph.errors import MigrationFailed, Outgrown, Refused
from graph.runtime.codec import END, ROOT, Codec, Known, visible_values
from graph.runtime.models import Claim, Rows, Run, Stored, Upkeep
from graph.runtime.versions import version_of

HOOK_SECONDS = 20.0
ADDED = 1  # version of a channel that is new


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of the graph that takes a step, and what reads its checkpoints."""

    graph: Any
    upkeep: Upkeep
    codec: Codec
    known: Known


async def renewed(claim: Claim, run: Run, hooks: Hooks, now: datetime) -> tuple[Claim, Rows]:
    """The claim as the step starts from it, and what its values add to the store.

    Raises Outgrown.
    """
    stored, upkeep = claim.stored, hooks.upkeep
    if stored is None:
        return claim, Rows()
    made_by = version_of(stored.row.metadata)
    migrates = upkeep.migrate is not None and made_by != upkeep.version
    if not migrates and upkeep.revalidate is None:
        return claim, Rows()
    checkpoint = hooks.codec.decode(stored, hooks.known).checkpoint
    if END in checkpoint["channel_values"]:
        return claim, Rows()  # a functional entrypoint has no state, only what it returned
    before = visible_values(checkpoint)
    after = before
    if migrates:
        after = await _called(MigrationFailed, upkeep.migrate, before, made_by)
        _check(MigrationFailed, "migrate", hooks.graph, after, whole=before)
    idle = (now - datetime.fromisoformat(checkpoint["ts"])).total_seconds()
    if upkeep.revalidate and (_resumes(run) or idle > upkeep.revalidate_after):
        after = await _revalidated(hooks, after, max(idle, 0.0))
    found, rows = _changed(hooks, stored, after)
    return replace(claim, stored=found), rows


def _resumes(run: Run) -> bool:
    return not run.input_applied and "resume" in (run.kwargs.get("command") or {})


async def _revalidated(hooks: Hooks, state: Any, idle: float) -> Any:
    changes = await _called(Refused, hooks.upkeep.revalidate, state, idle)
    if changes is None:
        return state
    _check(Refused, "revalidate", hooks.graph, changes, whole=state)
    return {**state, **changes} if isinstance(state, Mapping) else changes


async def _called(wrong: type[Outgrown], hook: Any, *given: Any) -> Any:
    """What a hook returns; plain ones run in a thread, for they may take their time."""
    name = "migrate" if wrong is MigrationFailed else "revalidate"
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            made = await _run(hook, *given)
            return await made if inspect.isawaitable(made) else made
    except TimeoutError as error:
        raise wrong(f"{name} took longer than {HOOK_SECONDS:.0f} s") from error
    except Exception as error:  # the edge to users' code
        raise wrong(f"{name}: {type(error).__name__}: {error}") from error


async def _run(hook: Callable[..., Any], *given: Any) -> Any:
    if inspect.iscoroutinefunction(hook):
        return await hook(*given)
    return await asyncio.to_thread(hook, *given)


def _check(wrong: type[Outgrown], name: str, graph: Any, values: Any, *, whole: Any) -> None:
    """Raises unless a hook gave values that the graph has channels for."""
    if not isinstance(whole, Mapping) or ROOT in graph.channels:
        return
    if not isinstance(values, Mapping):
        raise wrong(f"{name} returned a {type(values).__name__}, not a dict of the state's keys")
    if unknown := [key for key in values if key not in graph.channels]:
        known = ", ".join(key for key in graph.stream_channels_list)
        raise wrong(f"{name} returned {unknown[0]!r}, which is not in the state: it has {known}")


def _changed(hooks: Hooks, stored: Stored, after: Any) -> tuple[Stored, Rows]:
    """The checkpoint with other values and the same id, so that what waits on it still fits."""
    codec, known = hooks.codec, hooks.known
    checkpoint = codec.decode(stored, known).checkpoint
    changes = _differences(codec, checkpoint, after)
    if not changes:
        return stored, Rows()
    row = stored.row
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    for channel, value in changes.items():
        if value is _GONE:
            del values[channel]
        else:
            values[channel] = value
            versions.setdefault(channel, ADDED)
    added = codec.encode(
        row.ns,
        checkpoint,
        row.metadata,
        row.checkpoint_id,  # what did not change is taken as it was stored
        new_versions={channel: versions[channel] for channel in changes if channel in values},
        known=known,
    )
    again = replace(added.row, parent_id=row.parent_id)
    blobs = {**stored.blobs, **{blob.blob_id: blob for blob in added.blobs}}
    items = (*stored.items, *added.items)
    rows = Rows(blobs=tuple(added.blobs), items=tuple(added.items))
    return replace(stored, row=again, blobs=blobs, items=items), rows


_GONE: Any = object()


def _differences(codec: Codec, checkpoint: Checkpoint, after: Any) -> dict[str, Any]:
    """The channels whose values are others, told by their bytes: hooks may change in place."""
    if ROOT in checkpoint["channel_values"]:
        before = {ROOT: visible_values(checkpoint)}
        after = {ROOT: after}
    else:
        before = visible_values(checkpoint)
    changes: dict[str, Any] = {key: _GONE for key in before if key not in after}
    for key, value in after.items():
        if key not in before or codec.pack(value) != codec.pack(before[key]):
            changes[key] = value
    return changes
