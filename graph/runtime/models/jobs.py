"""What the queue carries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepJob:
    """A queue message: a pointer to a thread's next step, never state."""

    thread_id: str
    seq: int
    redelivered: bool = False  # received before, or a delayed copy of a refused message
    guards: str | None = None  # the run that a client's process steps, with this message alone
