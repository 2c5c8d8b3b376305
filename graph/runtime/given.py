"""What a superstep gives LangGraph: the run's input, once, and its config."""

from typing import Any

from langgraph.types import Command, Send

from graph.ceilings import raises_budget
from graph.effects import PLACE
from graph.errors import UserError
from graph.owners import OWNER
from graph.runtime.acceptance import Standing, unmet
from graph.runtime.models import Claim, Json, Run
from graph.runtime.recorder import Recorder, wants_record
from graph.runtime.step_saver import StepSaver

RECURSION_LIMIT = 10_007  # LangGraph's own default
STRICT = "__pregel_strict_resume"  # LangGraph's own: refuse an answer to what is not asked
RESERVED = ("__", "thread_id", "checkpoint_", "baton_")


def graph_input(run: Run) -> Any:
    """What the graph is given: the run's input once, then nothing, to go on."""
    if run.input_applied:
        return None
    command = run.kwargs.get("command")
    if command and not raises_budget(command):
        return as_command(command)
    return run.kwargs.get("input")


def as_command(said: Json) -> Command[Any]:
    """LangGraph's Command of a client's."""
    return Command(
        update=said.get("update"),
        resume=said.get("resume"),
        goto=_targets(said.get("goto") or []),
    )


def _targets(goto: Any) -> list[Any]:
    """Nodes by name, or {"node", "input"} for a task with an input of its own."""
    return [
        to if isinstance(to, str) else Send(to["node"], to.get("input"))
        for to in (goto if isinstance(goto, list) else [goto])
    ]


def graph_config(graph: Any, claim: Claim, run: Run, saver: StepSaver) -> Json:
    """LangGraph's config: what the run asked for, and what only the engine says."""
    asked = run.kwargs.get("config") or {}
    configurable = {
        k: v for k, v in (asked.get("configurable") or {}).items() if not k.startswith(RESERVED)
    }
    configurable |= {
        "thread_id": claim.thread_id,
        "checkpoint_ns": "",
        "run_id": run.run_id,
        "graph_id": run.graph_id,
        "assistant_id": run.assistant_id,
        PLACE: saver.place,
        OWNER: claim.owner,
    }
    if not run.input_applied and (checkpoint_id := run.kwargs.get("checkpoint_id")):
        configurable["checkpoint_id"] = checkpoint_id
    if run.kwargs.get("strict_resume"):
        configurable[STRICT] = True
    return {
        "configurable": configurable,
        "metadata": {**run.metadata, "run_id": run.run_id},
        "recursion_limit": _limit(graph, run),
        "callbacks": [Recorder()] if wants_record(run) else [],
        **{k: asked[k] for k in ("tags", "max_concurrency") if k in asked},
    }


def refused_now(claim: Claim, run: Run) -> UserError | None:
    """Why a run that was accepted cannot begin: the thread has moved on while it waited.

    LangGraph would begin with an empty state, or take an answer for another question's.
    """
    if run.input_applied:
        return None
    found = Standing(
        busy_with=None,
        status=claim.rests_as,
        head=claim.head,
        interrupts=claim.interrupts,
        has_checkpoint=claim.stored is not None,
    )
    return unmet(run, found)


def steps_taken(graph: Any, claim: Claim, run: Run) -> int:
    """How many supersteps the run has taken, as LangGraph counts them towards its limit."""
    if run.stop_at is None:
        return 0
    return max(step_of(claim) + _limit(graph, run) - run.stop_at, 0)


def place_of(graph: Any, claim: Claim, run: Run) -> Json:
    """Which superstep of the run this is, of how many at most; None where nobody has said."""
    limit = _limit(graph, run)
    most = None if limit == RECURSION_LIMIT else limit
    return {"step": steps_taken(graph, claim, run) + 1, "of": most}


def _limit(graph: Any, run: Run) -> int:
    asked = run.kwargs.get("config") or {}
    own = (graph.config or {}).get("recursion_limit", RECURSION_LIMIT)
    return int(asked.get("recursion_limit", own))


def step_of(claim: Claim) -> int:
    """LangGraph's number of the step that made the checkpoint a run starts from."""
    return -2 if claim.stored is None else int(claim.stored.row.metadata.get("step", -2))
