"""What a thread waits for and the deployed graph does not have any more.

LangGraph would end such a run in silence, as done.
"""

from collections.abc import Collection, Iterator
from typing import Any

from langgraph.types import Command

from graph.errors import InterruptNotFound, NodeNotFound
from graph.runtime.codec import BRANCH, SENDS, Codec, Known
from graph.runtime.models import Stored, WriteRow
from graph.runtime.step_rows import INTERRUPT, is_outcome
from graph.runtime.step_saver import StepSaver

JOIN = "join:"  # the channel of a node that waits for several: join:a+b:node
WHAT_TO_DO = "deploy a graph that has it, or fork the thread from an earlier checkpoint"


def must_have_nodes(graph: Any, given: Any, saver: StepSaver, graph_id: str) -> None:
    """Raises NodeNotFound for a node that the step or those after it would run.

    Nested graphs are looked at as they are taken up, for only then it is known which they are.
    """
    codec = saver.codec  # all that `meet` holds of the saver, which holds it
    goes_on = given is None or isinstance(given, Command)
    if goes_on and saver.claim.stored is not None:
        nodes = awaited(codec, saver.claim.stored, saver.known)
        _must_have(graph.nodes, nodes, f"the deployed graph {graph_id!r}")
    if isinstance(given, Command):
        _must_have(graph.nodes, _targets(given), f"the deployed graph {graph_id!r}")

    def meet(ns: str, stored: Stored) -> None:
        path = _path(ns)
        nested = next((g for name, g in graph.get_subgraphs(recurse=True) if name == path), None)
        if nested is not None:
            where = f"the graph nested in {path!r} of the deployed graph {graph_id!r}"
            _must_have(nested.nodes, awaited(codec, stored, Known()), where)

    saver.meet_nested = meet


def must_have_asked(saver: StepSaver, given: Any, names: dict[str, str]) -> None:
    """Raises InterruptNotFound when a node took no notice of the answer that it waited for.

    Not where the answer came with an update of the state, which may be why it need not ask.
    """
    if not isinstance(given, Command) or given.resume is None or given.update or given.goto:
        return
    stored = saver.claim.stored
    asked = {w.task_id for w in stored.writes if w.channel == INTERRUPT} if stored else set()
    finished = {
        w.task_id for w in saver.rows.root_writes if is_outcome(w) and w.channel != INTERRUPT
    }
    for task_id in sorted(asked & finished):
        if not saver.rows.has_answered(task_id, names.get(task_id)):
            raise InterruptNotFound(
                f"node {names.get(task_id, task_id)!r} waited for an answer and, as it is "
                "deployed now, did not ask for it: nothing was saved; deploy a graph that asks, or "
                "run the thread without an answer"
            )


def awaited(codec: Codec, stored: Stored, known: Known) -> Iterator[str]:
    """The nodes that run from a checkpoint on, as far as it and its pending writes name them."""
    yield from codec.pending_nodes(stored, known)
    for channel, (_, form) in codec.forms(stored, known).items():
        if channel.startswith(JOIN) and codec.read(form):
            yield channel.rpartition(":")[2]
    for write in stored.writes:
        yield from _written(codec, write)


def _written(codec: Codec, write: WriteRow) -> Iterator[str]:
    if write.channel.startswith(BRANCH):
        yield write.channel.removeprefix(BRANCH)
    elif write.channel == SENDS:
        yield codec.unpack(write).node


def _targets(given: Command[Any]) -> Iterator[str]:
    goto: Any = given.goto if isinstance(given.goto, list | tuple) else [given.goto]
    yield from (to if isinstance(to, str) else to.node for to in goto)


def _must_have(nodes: Collection[str], awaited: Iterator[str], where: str) -> None:
    for node in awaited:
        if node not in nodes:
            raise NodeNotFound(
                f"the thread waits for node {node!r}, which {where} does not have: {WHAT_TO_DO}"
            )


def _path(ns: str) -> str:
    """A namespace without its task ids, as LangGraph names subgraphs."""
    parts = (part.partition(":")[0] for part in ns.split("|"))
    return "|".join(part for part in parts if not part.isdigit())
