"""How much of a thread's history is kept, and for how long the thread itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graph.errors import BadInput, BadProject
from graph.runtime.models import Json
from graph.runtime.ports import CheckpointStore

KEY = "retention"  # in an assistant's metadata: what its threads keep
KEEPS = r"all|run|[1-9][0-9]{0,5}"  # every checkpoint, the last of each run, the last so many
YEARS_10 = 10 * 366 * 24 * 60  # minutes; a longer interval would overflow somewhere one day
LATEST = "latest"  # a TTL's: the newest checkpoint and nothing else
ALL = "all"
STRATEGIES = ("delete", "keep_latest")
AT_ONCE = 1000  # checkpoints that one statement drops


@dataclass(frozen=True, slots=True)
class Retention:
    """What the deployment says; an assistant's own word goes before `keep`."""

    keep: str = ALL
    ttl: tuple[float, str] | None = None  # of threads made from now on: minutes, strategy


def check_retention(metadata: Json | None) -> None:
    """Raises BadInput when an assistant's metadata says what cannot be kept to."""
    said = (metadata or {}).get(KEY, ALL)
    if isinstance(said, bool) or not re.fullmatch(KEEPS, str(said)):
        raise BadInput(
            f'metadata.{KEY}: {said!r} must be "all", "run" or how many checkpoints to keep, 1 to '
            "999999"
        )


def default_ttl(said: Any, minutes: float = 0.0) -> tuple[float, str] | None:
    """What langgraph.json says as `checkpointer.ttl`; `minutes` go before its `default_ttl`.

    Its `sweep_interval_minutes` is the sweep's schedule here. Raises BadProject.
    """
    said = {} if said is None else said
    if not isinstance(said, dict):
        raise BadProject(f"checkpointer.ttl must be an object, not {said!r}")
    strategy, found = said.get("strategy", "delete"), minutes or said.get("default_ttl")
    if strategy not in STRATEGIES:
        raise BadProject(f"checkpointer.ttl.strategy must be delete or keep_latest: {strategy!r}")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= YEARS_10:
        raise BadProject(
            f"checkpointer.ttl.default_ttl must be minutes above 0 and up to {YEARS_10} (ten "
            f"years), not {found!r}"
        )
    return float(found), strategy


async def keep_latest(store: CheckpointStore, thread_ids: Iterable[str]) -> int:
    """Drop all history of those of the threads that are at rest; how many they were."""
    rest, done = frozenset(thread_ids), 0
    while rest:
        thinned = await store.thin(dict.fromkeys(rest, LATEST), limit=AT_ONCE)
        done += len(thinned.threads - thinned.rest)
        rest = thinned.rest
    return done
