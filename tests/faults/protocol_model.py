"""Exhaustive model of the step protocol: every interleaving within small bounds.

Checked in every reachable state: steps are applied once each and in order, a worker whose claim is
lost changes nothing, and the run can still finish when nothing goes wrong any more, without the
sweep unless a message was lost outright. An invocation may take several steps before it passes on.
A client's process may take the first steps, on its line: one message guards all of them.
Clients may text while a run is active: `interrupt` ends it where it is, `rollback` undoes it.
"""

from collections import deque
from typing import Any, NamedTuple

FREE = 0
NO_RUN = -1
LONGEST_QUEUE = 12


class Message(NamedTuple):
    seq: int
    redelivered: bool  # ApproximateReceiveCount > 1
    guards: int = NO_RUN  # the run that is stepped on a client's line


class Worker(NamedTuple):
    phase: str = "idle"  # idle, got, claimed, saved
    message: Message = Message(0, False)
    fence: int = FREE
    seq: int = 0  # the step it is at
    taken: int = 0  # steps of this invocation
    run: int = 0  # whose step it is
    start: int = 0  # how many steps the state it loaded holds
    on_line: bool = False  # a client's process: it took no message that could come back


class Applied(NamedTuple):
    """A step that was saved: whose, the how many-th of its run, and on what it was built."""

    run: int
    step: int
    start: int


class State(NamedTuple):
    seq: int
    fence: int
    lease: int  # fence of the holder, FREE if none
    done: bool
    queue: tuple[Message, ...]
    workers: tuple[Worker, ...]
    crashes: int
    pauses: int
    duplicates: int
    losses: int
    texts: int  # that clients may still send while a run is active
    run: int  # the active one, or the last
    base: int  # steps that were applied before it began
    applied: tuple[Applied, ...]  # in the order of the thread's checkpoints


class Rules(NamedTuple):
    steps: int = 3
    fenced: bool = True
    resend: str = "redelivered"  # never | always | redelivered
    sweep: bool = True
    inline: int = 1  # steps an invocation may take
    at_once: bool = False  # a save takes the next step's claim with it
    ahead: int = 1  # how far ahead a redelivered message may find the thread and ring again
    on_line: int = 0  # steps that the client's own process may take
    guard: bool = True  # its message rings again however far ahead it finds the run
    strategy: str = "interrupt"  # what a text does to the run it finds: interrupt | rollback
    displacing: str = "fence"  # what ends the claim of that run: fence | lease | nothing


class Bounds(NamedTuple):
    """How much may happen and go wrong."""

    workers: int
    crashes: int
    pauses: int
    duplicates: int
    losses: int
    texts: int = 0


def put(queue: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    return tuple(sorted((*queue, message)))


def drop(queue: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    rest = list(queue)
    rest.remove(message)
    return tuple(rest)


def with_worker(s: State, i: int, worker: Worker, **changes: Any) -> State:
    workers = tuple(worker if j == i else w for j, w in enumerate(s.workers))
    return s._replace(workers=workers, **changes)


def claim(s: State, i: int, w: Worker, rules: Rules) -> State:
    m = w.message
    if not s.done and m.seq == s.seq and s.lease == FREE:
        return take(s, i, Worker(message=m, on_line=w.on_line))
    if not s.done and m.seq == s.seq:  # busy: the message comes back later
        return with_worker(s, i, Worker(), queue=put(s.queue, m._replace(redelivered=True)))
    if rules.guard and m.guards != NO_RUN:
        return with_worker(s, i, Worker(), queue=moved_on(s, m))
    if s.done or not 1 <= s.seq - m.seq <= rules.ahead:
        return with_worker(s, i, Worker())
    if s.lease != FREE:  # who went on inline may be dead: look again when its lease is over
        later = m.redelivered and rules.inline > 1 and rules.resend != "never"
        queue = put(s.queue, m) if later else s.queue
        return with_worker(s, i, Worker(), queue=queue)
    again = rules.resend == "always" or (rules.resend == "redelivered" and m.redelivered)
    queue = put(s.queue, Message(s.seq, False)) if again else s.queue
    return with_worker(s, i, Worker(), queue=queue)


def moved_on(s: State, m: Message) -> tuple[Message, ...]:
    """A guard goes where its run is; if another run is being stepped, that has its own message."""
    if s.done or s.seq < m.seq or (s.lease != FREE and s.run != m.guards):
        return s.queue
    return put(s.queue, m._replace(seq=s.seq))


def take(s: State, i: int, w: Worker) -> State:
    """Claim the thread's step, and load what it starts from."""
    fence = s.fence + 1
    claimed = w._replace(phase="claimed", fence=fence, seq=s.seq, run=s.run, start=len(s.applied))
    return with_worker(s, i, claimed, fence=fence, lease=fence)


def advance(s: State, i: int, w: Worker, rules: Rules) -> State:
    if rules.fenced and w.fence != s.fence:
        return with_worker(s, i, Worker())  # lost claim: nothing written, message dropped
    applied = (*s.applied, Applied(w.run, sum(a.run == w.run for a in s.applied), w.start))
    saved = w._replace(phase="saved", taken=w.taken + 1)
    done = s.done or len(applied) - s.base >= rules.steps
    return with_worker(s, i, saved, seq=w.seq + 1, lease=FREE, done=done, applied=applied)


def text(s: State, rules: Rules) -> State:
    """A new run in place of the active one, in one statement; its client has yet to ring."""
    applied = s.applied[: s.base] if rules.strategy == "rollback" else s.applied
    return s._replace(
        seq=s.seq + 1,
        fence=s.fence + (rules.displacing == "fence"),
        lease=s.lease if rules.displacing == "nothing" else FREE,
        run=s.run + 1,
        base=len(applied),
        applied=applied,
        texts=s.texts - 1,
    )


def advance_on(s: State, i: int, w: Worker, rules: Rules) -> State:
    """Save a step and claim the next in one statement."""
    saved = advance(s, i, w, rules)
    went_on = saved.workers[i].phase == "saved" and not saved.done
    return take(saved, i, saved.workers[i]) if went_on else saved


def go_on(s: State, i: int, w: Worker) -> State:
    """The next step in the same invocation, unless somebody else has it."""
    if s.seq == w.seq + 1 and s.lease == FREE:
        return take(s, i, w)
    return with_worker(s, i, Worker())


Moves = list[tuple[str, State]]


def calm(s: State, rules: Rules) -> Moves:
    """What happens when nothing goes wrong."""
    out = receipts(s)
    for i, w in enumerate(s.workers):
        out += at_work(s, i, w, rules)
    holders = {w.fence for w in s.workers if w.phase == "claimed"}
    if s.lease not in (FREE, *holders):
        out.append(("lease of a dead worker expires", s._replace(lease=FREE)))
    quiet = s.lease == FREE and all(w.phase == "idle" for w in s.workers)
    rings = rules.sweep and s.losses and not s.done and quiet
    if rings and not any(m.seq == s.seq for m in s.queue):
        out.append(("sweep rings", s._replace(queue=put(s.queue, Message(s.seq, False)))))
    return out


def receipts(s: State) -> Moves:
    idle = next((i for i, w in enumerate(s.workers) if w.phase == "idle"), None)
    if idle is None:
        return []
    return [
        (f"w{idle} receives {m}", with_worker(s, idle, Worker("got", m), queue=drop(s.queue, m)))
        for m in sorted(set(s.queue))
    ]


def at_work(s: State, i: int, w: Worker, rules: Rules) -> Moves:
    if w.phase == "got":
        return [(f"w{i} claims", claim(s, i, w, rules))]
    if w.phase == "claimed":
        out = [(f"w{i} runs and advances", advance(s, i, w, rules))]
        most = rules.on_line if w.on_line else rules.inline
        if (rules.at_once or w.on_line) and w.taken + 1 < most:
            out.append((f"w{i} runs, advances and claims", advance_on(s, i, w, rules)))
        return out
    if w.phase == "idle":
        return []
    queue = s.queue if s.done else put(s.queue, Message(w.seq + 1, False))
    out = [(f"w{i} passes on and acknowledges", with_worker(s, i, Worker(), queue=queue))]
    if w.taken < rules.inline and not (s.done or rules.at_once or w.on_line):
        out.append((f"w{i} goes on", go_on(s, i, w)))
    return out


def faults(s: State, rules: Rules) -> Moves:
    """What may go wrong, as often as the bounds allow, and clients who text meanwhile."""
    out: Moves = []
    if s.texts and not s.done:
        texted = text(s, rules)
        rung = texted._replace(queue=put(s.queue, Message(texted.seq, False)))
        out.append((f"a client texts: {rules.strategy}", rung))
        if s.losses > 1:
            out.append(("a client texts and dies", texted._replace(losses=s.losses - 1)))
    for i, w in enumerate(s.workers):
        back = s.queue if w.on_line else put(s.queue, w.message._replace(redelivered=True))
        if s.crashes and w.phase != "idle":
            died = with_worker(s, i, Worker(), queue=back, crashes=s.crashes - 1)
            out.append((f"w{i} dies {w.phase}", died))
        if s.pauses and w.phase in ("claimed", "saved"):  # it outlasts its lease
            lease = FREE if s.lease == w.fence else s.lease
            paused = s._replace(lease=lease, queue=back, pauses=s.pauses - 1)
            out.append((f"w{i} pauses {w.phase}", paused))
    for m in sorted(set(s.queue)):
        if s.duplicates:
            twice = s._replace(queue=put(s.queue, m), duplicates=s.duplicates - 1)
            out.append((f"{m} is duplicated", twice))
        if s.losses > 1:
            lost = s._replace(queue=drop(s.queue, m), losses=s.losses - 1)
            out.append((f"{m} is lost", lost))
    return out


def sound(s: State) -> bool:
    """Whether each run's steps are there once and in order, on top of what was there before."""
    counts: dict[int, int] = {}
    for place, a in enumerate(s.applied):
        if (a.step, a.start) != (counts.get(a.run, 0), place):
            return False
        counts[a.run] = a.step + 1
    order = [a.run for a in s.applied]
    return order == sorted(order) and set(order[s.base :]) <= {s.run}


class Space:
    """All states that can be reached, and how."""

    def __init__(self, start: State) -> None:
        self.parent: dict[State, tuple[State | None, str]] = {start: (None, "start")}
        self.forward: dict[State, list[State]] = {}
        self.longest = 1
        self._todo = deque([start])

    def explore(self, rules: Rules) -> str | None:
        """The trace of a broken invariant, if any."""
        while self._todo:
            s = self._todo.popleft()
            self.longest = max(self.longest, len(s.queue))
            if not sound(s):
                return f"applied {s.applied} at seq {s.seq}: {self.trace(s)}"
            if len(s.queue) > LONGEST_QUEUE:
                return f"queue grows without end: {self.trace(s)}"
            quiet = calm(s, rules)
            self.forward[s] = [n for _, n in quiet]
            for how, n in (*quiet, *faults(s, rules)):
                if n not in self.parent:
                    self.parent[n] = (s, how)
                    self._todo.append(n)
        return None

    def stuck(self) -> str | None:
        """The trace to a state that can never finish, if there is one."""
        back: dict[State, list[State]] = {}
        for s, nexts in self.forward.items():
            for n in nexts:
                back.setdefault(n, []).append(s)
        good = {s for s in self.parent if s.done}
        todo = deque(good)
        while todo:
            fresh = [p for p in back.get(todo.popleft(), ()) if p not in good]
            good.update(fresh)
            todo.extend(fresh)
        lost = next((s for s in self.parent if s not in good), None)
        return f"stuck for ever: {self.trace(lost)}" if lost else None

    def trace(self, s: State | None) -> str:
        steps = []
        while s is not None:
            s, how = self.parent[s]
            steps.append(how)
        return " -> ".join(reversed(steps))


def explore(rules: Rules, bounds: Bounds) -> tuple[Space, str | None]:
    """The states within the bounds, and the trace of a broken invariant if there is one."""
    workers, crashes, pauses, duplicates, losses, texts = bounds
    rung = Message(0, False)
    on_line: tuple[Worker, ...] = ()
    if rules.on_line:
        on_line = (Worker("got", rung, on_line=True),)
        rung = Message(0, True, guards=0)
    start = State(
        seq=0,
        fence=FREE,
        lease=FREE,
        done=False,
        queue=(rung,),
        workers=(*on_line, *(Worker(),) * (workers - len(on_line))),
        crashes=crashes,
        pauses=pauses,
        duplicates=duplicates,
        losses=losses + 1 if losses else 0,
        texts=texts,
        run=0,
        base=0,
        applied=(),
    )
    space = Space(start)
    return space, space.explore(rules) or space.stuck()
