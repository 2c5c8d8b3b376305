"""What a reader of a run's events is given."""

from dataclasses import dataclass

from graph.runtime.models import Event, Json, RunStatus


@dataclass(frozen=True, slots=True)
class Heard:
    """The next events of a run, and how the run stood when they were read."""

    run_id: str
    status: RunStatus
    error: Json | None
    head: str | None
    last: int  # number of the run's newest event, 0 without any
    events: tuple[Event, ...]

    @property
    def over(self) -> bool:
        """Whether no event comes after these."""
        return self.status.ended and (not self.events or self.events[-1].seq == self.last)
