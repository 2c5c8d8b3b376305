"""What must be true of the rows when the faults are over."""

import re
from collections import Counter
from dataclasses import dataclass, fields

import psycopg

from tests.fixtures.projects.faults.chain import STEPS

STEP_KEY = re.compile(r"^(?P<thread>[^:]+):(?P<seq>\d+):")
MADE = """
    SELECT thread_id, (metadata ->> 'baton_seq')::int, (metadata ->> 'step')::int, parent_id,
           (metadata ->> 'fence')::bigint
      FROM checkpoints
     WHERE ns = '' AND metadata ->> 'source' = 'loop'
     ORDER BY thread_id, written, place
"""


@dataclass(frozen=True, slots=True)
class Findings:
    """The numbers that the kill test prints; the first three must be as they should."""

    runs: int
    runs_ended: int
    runs_succeeded: int
    steps_lost: int
    steps_applied_twice: int
    forks: int
    written_after_losing_the_claim: int
    effects_missing_or_unknown: int
    effects_repeated: int  # killed between effect and save: the same key again

    def __str__(self) -> str:
        return "\n".join(
            f"  {f.name.replace('_', ' '):32} {getattr(self, f.name)}" for f in fields(self)
        )

    @property
    def faults(self) -> int:
        return (
            self.steps_lost
            + self.steps_applied_twice
            + self.forks
            + self.written_after_losing_the_claim
            + self.effects_missing_or_unknown
            + (self.runs - self.runs_succeeded)
        )


class Audit:
    """Counts from the tables themselves."""

    def __init__(self, url: str) -> None:
        self.url = url

    def at_work(self) -> set[int]:
        """The processes that have taken steps."""
        with psycopg.connect(self.url) as connection:
            return {pid for (pid,) in connection.execute("SELECT DISTINCT pid FROM effects")}

    def findings(self, thread_ids: list[str]) -> Findings:
        with psycopg.connect(self.url) as connection:
            statuses = connection.execute("SELECT status FROM runs").fetchall()
            made = connection.execute(MADE).fetchall()
            keys = [key for (key,) in connection.execute("SELECT key FROM effects")]
        ended = Counter(status for (status,) in statuses)
        steps = Counter((thread, step) for thread, _, step, _, _ in made)
        expected = {(t, step) for t in thread_ids for step in range(STEPS + 1)}  # 0 takes the input
        parents = Counter((thread, parent) for thread, _, _, parent, _ in made)
        known = {f"{t}:{seq}:pull.effect" for t in thread_ids for seq in range(STEPS)}
        return Findings(
            runs=len(statuses),
            runs_ended=len(statuses) - ended["pending"] - ended["running"],
            runs_succeeded=ended["success"],
            steps_lost=len(expected - set(steps)),
            steps_applied_twice=sum(count - 1 for count in steps.values())
            + len(set(steps) - expected),
            forks=sum(count - 1 for count in parents.values()),
            written_after_losing_the_claim=_late_writes(made),
            effects_missing_or_unknown=len(known ^ set(keys)),
            effects_repeated=len(keys) - len(set(keys)),
        )


def _late_writes(made: list[tuple[str, int, int, str, int]]) -> int:
    """Checkpoints whose fence is not above the fence of every earlier step of their thread."""
    late, highest = 0, dict[str, tuple[int, int]]()
    for thread, seq, _, _, fence in made:
        last_seq, last_fence = highest.get(thread, (-1, -1))
        late += fence < last_fence or (fence == last_fence and seq != last_seq)
        highest[thread] = (seq, max(fence, last_fence))
    return late
