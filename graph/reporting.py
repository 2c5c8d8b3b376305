"""How far a node has come, for whoever follows its run."""

from dataclasses import dataclass

from langgraph.config import get_config, get_stream_writer


@dataclass(frozen=True, slots=True)
class Progress:
    """What a node reported; it travels as LangGraph's `custom` does."""

    node: str
    percent: float
    note: str = ""


def progress(percent: float, note: str = "") -> None:
    """Report, from inside a node, how much of its work is done: an event of the mode `progress`.

    It costs nothing when nobody asked for that mode. Raises ValueError for what is no percentage,
    RuntimeError outside a graph.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent!r} is not a percentage")
    node = str(get_config()["metadata"].get("langgraph_node", ""))
    get_stream_writer()(Progress(node, percent, note))
