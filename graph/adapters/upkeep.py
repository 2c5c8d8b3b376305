"""What langgraph.json says of a graph beside where it is: its version, and its hooks.

{"path": "./x.py:graph", "version": "2", "migrate": "./x.py:migrate",
 "revalidate": "./x.py:revalidate", "revalidate_after": 3600}
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from graph.errors import BadProject
from graph.runtime.models import Upkeep
from graph.runtime.models.graphs import REVALIDATE_AFTER

HOOKS = ("migrate", "revalidate")


def version_of_entry(spec: Any, folder: Path) -> str | None:
    """The version that the entry gives; else a hash of the graph's file, read without importing."""
    entry = spec if isinstance(spec, dict) else {"path": spec}
    if "version" in entry:
        return str(entry["version"])
    return _source_version(str(entry["path"]).rpartition(":")[0], folder) if spec else None


@cache
def _source_version(path: str, folder: Path) -> str | None:
    try:
        origin = folder / path if path.endswith(".py") else _origin(path)
        return f"source-{blake2b(origin.read_bytes(), digest_size=6).hexdigest()}"
    except (OSError, ImportError, ValueError):  # what is wrong is said when the graph is loaded
        return None


def _origin(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"there is no module {module}")
    return Path(spec.origin)


def upkeep(
    graph_id: str, entry: Mapping[str, Any], version: str | None, hooks: Mapping[str, Any]
) -> Upkeep:
    """An entry's upkeep; raises BadProject."""
    where = f"graph {graph_id!r}"
    if "migrate" in hooks and "version" not in entry:
        raise BadProject(f"{where} has a migrate but no version: say which one it migrates to")
    for name, hook in hooks.items():
        if not callable(hook):
            raise BadProject(f"{where}: {name} is a {type(hook).__name__}, not a function")
    after = entry.get("revalidate_after", REVALIDATE_AFTER)
    if isinstance(after, bool) or not isinstance(after, int | float) or after < 0:
        raise BadProject(f"{where}: revalidate_after must be seconds, not {after!r}")
    return Upkeep(version, hooks.get("migrate"), hooks.get("revalidate"), float(after))
