"""Imports what a project names in a worker, for user code never runs in the stack's process."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from graph.adapters.registry import Registry
from graph.adapters.sealing import keys_of
from graph.errors import BadProject
from graph.iam import said_or_secret
from infra.local.children import CannotStart, Children
from infra.local.workers import Invocation, InvocationFailed, WorkerSpec, start_worker

HANDLERS = {"check": "infra.local.check.handler"}
TIMEOUT = 120.0


async def check_project(config: Path, children: Children, spec: WorkerSpec) -> list[str]:
    """The graphs' names; raises CannotStart when one of them does not load."""
    worker = await start_worker(children, replace(spec, handlers=HANDLERS), "project")
    try:
        said = await worker.invoke(Invocation("check", {"config": str(config)}, TIMEOUT))
    except InvocationFailed as failure:
        raise CannotStart(f"the graphs of {config} do not load: {failure}") from failure
    finally:
        worker.kill()
        worker.close()
    if "problem" in said:
        raise CannotStart(said["problem"])
    names: list[str] = said["graphs"]
    return names


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Runs in the worker; factories are not called, for they may need a run's config."""
    try:
        registry = Registry(Path(event["config"]))
        registry.import_all()
        if registry.has_auth:
            registry.auth()
        keys_of(said_or_secret(os.environ.get("ENCRYPTION_KEYS", "")))
    except BadProject as error:
        return {"problem": str(error)}
    return {"graphs": list(registry.names())}
