"""What a graph's checkpoints may hold, and what is made for it."""

from dataclasses import dataclass

from graph.adapters.memory import MemoryStore
from graph.runtime.checkpoints import Checkpoints


@dataclass
class Order:
    number: int


TYPES = {(Order.__module__, Order.__name__)}


def test_a_widened_checkpointer_builds_the_types_and_the_original_does_not() -> None:
    saver = Checkpoints(MemoryStore())
    stored = saver.serde.dumps_typed(Order(7))
    assert saver.with_allowlist(TYPES).serde.loads_typed(stored) == Order(7)
    assert saver.serde.loads_typed(stored) != Order(7)


def test_the_serializer_of_a_graph_is_made_once() -> None:
    first, second = (Checkpoints(MemoryStore()).with_allowlist(TYPES) for _ in range(2))
    assert first is not second
    assert first.serde is second.serde
