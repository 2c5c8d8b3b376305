"""The project's graphs, from the langgraph.json every LangGraph project has."""

import asyncio
import gc
import inspect
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from graph.adapters.auth_config import AuthConfig, auth_config
from graph.adapters.project_modules import module_named
from graph.adapters.store_config import StoreConfig, store_config
from graph.adapters.upkeep import HOOKS, upkeep, version_of_entry
from graph.errors import BadProject
from graph.runtime.models import Json, Upkeep


class Registry:
    """Loads graphs on first use, each once per process; paths are relative to the file.

    A graph is a StateGraph, compiled or not, an entrypoint, or a factory of one that takes nothing
    or the run's config. The file's `env` and `dependencies` are applied first.
    """

    def __init__(self, config_path: Path) -> None:
        self.path = Path(config_path).resolve()
        self._config = _read(self.path)
        self._graphs: dict[str, Any] = {}
        self._loading: dict[str, asyncio.Task[Any]] = {}
        self._upkeep: dict[str, Upkeep] = {}
        self._auth: Any = None
        self._ready = False

    def names(self) -> Sequence[str]:
        return list(self._config["graphs"])

    @property
    def allowed_types(self) -> tuple[tuple[str, str], ...]:
        """What checkpoints may hold beside the graphs' own state types: (module, name) pairs."""
        serde = (self._config.get("checkpointer") or {}).get("serde") or {}
        return tuple((str(m), str(n)) for m, n in serde.get("allowed_msgpack_modules") or ())

    @property
    def thread_ttl(self) -> Any:
        """What the file says of the life of threads, to be checked by whoever goes by it."""
        return (self._config.get("checkpointer") or {}).get("ttl")

    @property
    def store_config(self) -> StoreConfig:
        """The file's `store`, about the long-term store; raises BadProject."""
        return store_config(self._config.get("store"), self.named)

    def named(self, target: str) -> Any:
        """What "./file.py:name" names; raises BadProject."""
        return self._named(target, target)

    @property
    def env(self) -> dict[str, str]:
        """What the file's `env` sets: a file's name, or the values themselves."""
        env = self._config.get("env") or {}
        values = dotenv_values(self.path.parent / env) if isinstance(env, str) else env
        return {key: str(value) for key, value in values.items() if value is not None}

    def import_all(self) -> None:
        """Import every graph, calling no factory; raises BadProject for the first that fails."""
        for graph_id in self.names():
            self._graphs.setdefault(graph_id, self._import(graph_id))

    async def load(self, graph_id: str, config: Json) -> Any:
        if graph_id not in self._config["graphs"]:
            known = ", ".join(self.names())
            raise BadProject(f"{self.path} has no graph {graph_id!r}; it has {known}")
        made = await self._imported(graph_id)
        if not _is_factory(made):
            return made
        try:
            return _compiled(await _built(made, config), graph_id)
        except BadProject:
            raise
        except Exception as error:  # the edge to the project's code
            raise BadProject(f"graph {graph_id!r}: its factory raised {error!r}") from error

    def version(self, graph_id: str) -> str | None:
        """What the graph's entry says, or a hash of the file that the graph is in."""
        return version_of_entry(self._config["graphs"].get(graph_id), self.path.parent)

    def upkeep(self, graph_id: str) -> Upkeep:
        if graph_id not in self._upkeep:
            spec = self._config["graphs"].get(graph_id)
            entry = spec if isinstance(spec, dict) else {}
            hooks = {
                name: self._named(str(entry[name]), f"graph {graph_id!r}: {name} ({entry[name]})")
                for name in HOOKS
                if name in entry
            }
            self._upkeep[graph_id] = upkeep(graph_id, entry, self.version(graph_id), hooks)
        return self._upkeep[graph_id]

    @property
    def has_auth(self) -> bool:
        """Whatever it is: one that cannot be loaded lets nobody in."""
        return self._config.get("auth") is not None

    @property
    def auth_config(self) -> AuthConfig:
        """What the file says of it; raises BadProject."""
        return auth_config(self._config.get("auth"))

    def auth(self) -> Any:
        """The project's `auth`, an object of LangGraph's Auth; raises BadProject."""
        if self._auth is None:
            target = self.auth_config.path
            found = self._named(target, f"auth ({target})")
            if not hasattr(found, "_authenticate_handler"):
                raise BadProject(f"auth ({target}) is a {type(found).__name__}, not an Auth")
            self._auth = found
        return self._auth

    async def _imported(self, graph_id: str) -> Any:
        """The graph, imported by one for all who wait for it, beside the event loop."""
        if graph_id in self._graphs:
            return self._graphs[graph_id]
        loading = self._loading.get(graph_id)
        if loading is None:
            loading = asyncio.create_task(asyncio.to_thread(self._import_with_hooks, graph_id))
            self._loading[graph_id] = loading
            loading.add_done_callback(lambda done: self._keep(graph_id, done))
        return await asyncio.shield(loading)

    def _keep(self, graph_id: str, done: "asyncio.Task[Any]") -> None:
        """Whoever comes after a failure tries again."""
        del self._loading[graph_id]
        if not done.cancelled() and done.exception() is None:
            self._graphs[graph_id] = done.result()

    def _import_with_hooks(self, graph_id: str) -> Any:
        made = self._import(graph_id)
        with suppress(BadProject):  # it is raised where they are asked for
            self.upkeep(graph_id)
        return made

    def _import(self, graph_id: str) -> Any:
        spec = self._config["graphs"][graph_id]
        target = str(spec["path"] if isinstance(spec, dict) else spec)
        made = self._named(target, f"graph {graph_id!r} ({target})")
        graph = made if _is_factory(made) else _compiled(made, graph_id)
        gc.freeze()  # what it took to import stays: a full collection need not go through it
        return graph

    def _named(self, target: str, where: str) -> Any:
        """What `./file.py:variable` names; raises BadProject that says where it is asked for."""
        path, _, name = target.rpartition(":")
        self._prepare()
        try:
            module = module_named(path, self.path.parent)
        except FileNotFoundError as error:
            raise BadProject(f"{where}: there is no file {error.filename}") from error
        except Exception as error:  # the edge to the project's code
            raise BadProject(f"{where} does not import: {error!r}") from error
        if not hasattr(module, name):
            raise BadProject(f"{where}: {path} has no {name!r}")
        return getattr(module, name)

    def _prepare(self) -> None:
        """Make the project importable, and its `env` seen, before its first graph loads."""
        if self._ready:
            return
        for dependency in self._config.get("dependencies") or ["."]:
            folder = str((self.path.parent / dependency).resolve())
            if dependency.startswith(".") and folder not in sys.path:
                sys.path.insert(0, folder)
        for key, value in self.env.items():
            os.environ.setdefault(key, value)
        self._ready = True


def _read(path: Path) -> Json:
    try:
        config: Json = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadProject(f"there is no {path}: name one with --config") from None
    except (OSError, ValueError) as error:
        raise BadProject(f"{path} cannot be read as JSON: {error}") from error
    graphs = config.get("graphs") if isinstance(config, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise BadProject(f'{path} names no graphs: {{"graphs": {{"name": "./file.py:graph"}}}}')
    for name, spec in graphs.items():
        target = spec.get("path") if isinstance(spec, dict) else spec
        if not isinstance(target, str) or ":" not in target:
            raise BadProject(f'{path}: graph {name!r} must be "./file.py:variable", not {target!r}')
    return config


def _is_factory(made: Any) -> bool:
    return callable(made) and not hasattr(made, "compile") and not hasattr(made, "astream")


async def _built(factory: Any, config: Json) -> Any:
    """What a factory makes: plain, awaited, or the value of a context manager it returns."""
    takes = len(inspect.signature(factory).parameters)
    made = factory(config) if takes else factory()
    if isinstance(made, AbstractAsyncContextManager):
        return await made.__aenter__()
    if isinstance(made, AbstractContextManager):
        return made.__enter__()
    return await made if inspect.isawaitable(made) else made


def _compiled(made: Any, graph_id: str) -> Any:
    graph = made.compile() if hasattr(made, "compile") else made
    if not hasattr(graph, "astream") or not hasattr(graph, "nodes"):
        raise BadProject(f"graph {graph_id!r} is a {type(made).__name__}, not a LangGraph graph")
    return graph
