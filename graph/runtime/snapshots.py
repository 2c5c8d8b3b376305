"""LangGraph's state snapshots in the wire format."""

from collections.abc import Sequence
from typing import Any

from langgraph.types import Interrupt, PregelTask, StateSnapshot

from graph.runtime.models import Json, Thread
from graph.runtime.rendering import interrupt_json

ADDRESS = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")


def empty_state(thread_id: str) -> Json:
    """The state of a thread on which nothing ran."""
    nowhere = {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": None}
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "checkpoint": {**nowhere, "checkpoint_map": None},
        "metadata": {},
        "created_at": None,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }


def asking(state: Json, thread: Thread) -> Json:
    """The newest state with the engine's own question, if it asks one, where a node's would be."""
    question = thread.interrupts.get("")
    if not question:
        return state
    left = [task for task in state["tasks"] if task["result"] is None]
    tasks = [{**t, "interrupts": question} if t in left[:1] else t for t in state["tasks"]]
    return {**state, "tasks": tasks, "interrupts": [*state["interrupts"], *question]}


def state_json(state: StateSnapshot) -> Json:
    """A ThreadState; values stay Python values for `rendering.to_json`."""
    checkpoint, parent = checkpoint_json(state.config), checkpoint_json(state.parent_config)
    return {
        "values": state.values,
        "next": list(state.next),
        "tasks": [_task_json(task) for task in state.tasks],
        "checkpoint": checkpoint,
        "metadata": state.metadata,
        "created_at": state.created_at,
        "parent_checkpoint": parent,
        "interrupts": _interrupts_json(state.interrupts),
        "checkpoint_id": checkpoint and checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent and parent["checkpoint_id"],
    }


def checkpoint_json(config: Any) -> Json | None:
    """The checkpoint that a config of LangGraph's names, None when there is no config."""
    if not config:
        return None
    named = config["configurable"]
    return {key: named.get(key) for key in ADDRESS}


def _task_json(task: PregelTask) -> Json:
    nested = isinstance(task.state, StateSnapshot)
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "error": None if task.error is None else str(task.error),
        "interrupts": _interrupts_json(task.interrupts),
        "checkpoint": None if nested else checkpoint_json(task.state),
        "state": state_json(task.state) if isinstance(task.state, StateSnapshot) else None,
        "result": task.result,
    }


def _interrupts_json(interrupts: Sequence[Interrupt]) -> list[Json]:
    return [interrupt_json(interrupt) for interrupt in interrupts]
