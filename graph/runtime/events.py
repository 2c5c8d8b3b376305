"""What a step tells the clients that follow its run, as they asked for it.

Tokens, what nodes write themselves and what nested graphs do is told while the step runs, in
batches; the rest in the statement that saves the step, so that it is told exactly if it is so.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message

from graph.reporting import Progress
from graph.runtime.models import Claim, Ending, Event, Json, Run
from graph.runtime.rendering import to_json

log = logging.getLogger("baton.events")

Tell = Callable[[Sequence[Event]], Awaitable[None]]
Show = Callable[[Sequence[Event]], list[Event]]  # the events with their numbers
GATHER = 0.01  # seconds that the first of a batch waits for others
PAUSE = 0.25  # seconds between two batches: at most four a second
FRAME = 0.04  # seconds between two that are shown in this process, before they are written
SOON = 0.005  # after the first on a quiet line; then twice as long each time
NEEDED = ("tasks", "updates")  # what a step is driven by, asked for or not
# LangGraph's own modes, and those whose events are told while the step runs.
MODES = ("values", "updates", "messages", "custom", "debug", "tasks", "checkpoints", "tools")
LIVE = {"messages", "messages-tuple", "custom", "tools", "events", "progress"}
PARTIAL = "messages/partial"
CONFIGS = ("payload", "config", "parent_config", "configurable", "metadata")


@dataclass(slots=True)
class _Told:
    name: str
    value: Any  # JSON text, or a message that grows until it is taken
    live: bool
    of_input: bool = False  # told when the run's input was taken in, before its first task
    early: bool = False  # of the root graph, before any task of it had an outcome

    def event(self) -> Event:
        data = self.value if isinstance(self.value, bytes) else to_json(self.value)
        return Event(self.name, data)


class StepEvents:
    """Gathers one attempt at a step; does nothing for a run that nobody asked to follow."""

    def __init__(self, claim: Claim, run: Run, place: Json) -> None:
        self.asked = frozenset(run.kwargs.get("stream_mode") or ())
        self.subgraphs = bool(self.asked and run.kwargs.get("stream_subgraphs"))
        self._claim, self._run, self._place = claim, run, place
        self._pending: list[_Told] = []
        self._growing: dict[tuple[str, str], _Told] = {}  # of _pending, by event and message id
        self._messages: dict[str, BaseMessage] = {}
        self._tools: dict[str, float] = {}  # when calls began
        self._began = False  # the root graph's first task did
        self._outcome = False  # a task of the root graph has one
        self._shown: list[Event] = []  # and not written yet
        self._wake, self._over = asyncio.Event(), asyncio.Event()
        if self.asked and claim.attempts > 1:
            again = {"run_id": run.run_id, "attempt": claim.attempts}
            self._pending.append(_Told("metadata", to_json(again), live=True))

    @property
    def modes(self) -> list[str]:
        """What LangGraph is to stream."""
        tokens = {"messages"} if "messages-tuple" in self.asked else set()
        # With `custom` LangGraph hands tools' events out as they come, not at the task's end.
        eager = {"custom"} if self.asked & {"progress", "tools"} else set()
        return [mode for mode in MODES if mode in NEEDED or mode in self.asked | tokens | eager]

    def callbacks(self, tell: Callable[[Any], None]) -> list[Any]:
        """What LangChain is to call, to tell its own events."""
        if "events" not in self.asked:
            return []
        from graph.runtime.callbacks import Callbacks  # few ask for them

        return [Callbacks(tell)]

    def note(self, ns: Sequence[str], mode: str, data: Any) -> None:
        """Take in one item of LangGraph's stream."""
        if not self.asked:
            return
        if mode == "tasks" and not ns and not self._began:
            self._began = True
            self._progress({})
        self._outcome = self._outcome or (not ns and _is_outcome(mode, data, self._began))
        live = mode in LIVE or bool(ns)
        if mode == "messages":
            self._message(ns, *data)
        elif isinstance(data, Progress):
            self._progress({"node": data.node, "percent": data.percent, "note": data.note}, ns)
        elif mode in self.asked and (self._began or not self._run.input_applied or live):
            said = data if mode in ("values", "updates", "tasks", "custom") else _public(data)
            self._add(_named(mode, ns), self._timed(said) if mode == "tools" else said, live)

    def asks(self, question: Sequence[Json]) -> None:
        """Take in the engine's own question, which is told as a node's is."""
        mode = "updates" if "updates" in self.asked else "values"
        self.note((), mode, {"__interrupt__": list(question)})

    def rest(self, ending: Ending) -> tuple[Event, ...] | None:
        """What is to be told as the step is saved; None when nothing ever is.

        A step that is not over yet tells the outcome of its tasks when it is.
        """
        if not self.asked or ending is Ending.AGAIN:
            return None
        whole = ending.completes_step
        left = (t.event() for t in self._pending if whole or t.live or t.of_input)
        return (*self._shown, *left)

    @contextlib.asynccontextmanager
    async def flowing(self, tell: Tell, show: Show | None = None) -> AsyncIterator[None]:
        """Tell what is live while the block lasts; raises what `tell` raised, at its end.

        What is shown at once is written with the next batch, under the numbers it was shown by.
        """
        if not self.subgraphs and not self.asked & LIVE:
            yield
            return
        flows = [self._show(show), self._write(tell)] if show else [self._flow(tell)]
        flowing = [asyncio.create_task(flow) for flow in flows]
        try:
            yield
        finally:
            self._over.set()
            self._wake.set()
            await asyncio.gather(*flowing)  # not cancelled: that would break the connection

    async def _flow(self, tell: Tell) -> None:
        while not self._over.is_set():
            await self._wake.wait()
            if not await self._ends_within(GATHER):
                await tell(self._live())
                await self._ends_within(PAUSE - GATHER)

    async def _show(self, show: Show) -> None:
        pause = SOON
        while not self._over.is_set():
            waited = time.monotonic()
            await self._wake.wait()
            pause = SOON if time.monotonic() - waited > FRAME else min(2 * pause, FRAME)
            self._shown += show(self._live())
            await self._ends_within(pause)

    async def _write(self, tell: Tell) -> None:
        while not await self._ends_within(PAUSE):
            if self._shown:
                written, self._shown = self._shown, []
                await tell(written)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return self._over.is_set()

    def _live(self) -> list[Event]:
        taken = [t for t in self._pending if t.live or t.early]
        self._pending = [t for t in self._pending if not (t.live or t.early)]
        self._growing.clear()
        self._wake.clear()
        return [t.event() for t in taken]

    def _progress(self, said: Json, ns: Sequence[str] = ()) -> None:
        """Where the run is, and what a node says of itself."""
        if "progress" in self.asked:
            self._add(_named("progress", ns), {**self._place, **said}, live=True)

    def _timed(self, said: Json) -> Json:
        """A tool's event, with the milliseconds that the call took once it is over."""
        call_id, now = said["tool_call_id"], time.monotonic()
        if said["event"] == "tool-started":
            self._tools[call_id] = now
        elif said["event"] != "tool-output-delta" and call_id in self._tools:
            return {**said, "ms": round(1000 * (now - self._tools.pop(call_id)), 1)}
        return said

    def _message(self, ns: Sequence[str], message: BaseMessage, metadata: Json) -> None:
        """Deltas for `messages-tuple`, or the whole message so far for `messages`.

        What comes before the message's last batch is taken is one event, however many tokens.
        """
        message_id = message.id or ""
        if "messages-tuple" in self.asked:
            self._grow(_named("messages", ns), message, metadata)
            return
        known = self._messages.get(message_id)
        if known is None:
            self._add(_named("messages/metadata", ns), {message_id: {"metadata": metadata}}, True)
        whole = _joined(known, message)
        self._messages[message_id] = whole
        if not isinstance(message, BaseMessageChunk):
            self._add(_named("messages/complete", ns), [whole], live=True)
            return
        name, said = _named(PARTIAL, ns), [message_chunk_to_message(whole)]
        if told := self._growing.get((name, message_id)):
            told.value = said
        else:
            self._growing[name, message_id] = self._put(_Told(name, said, live=True))

    def _grow(self, name: str, message: BaseMessage, metadata: Json) -> None:
        key = (name, message.id or "")
        told = self._growing.get(key)
        if told and isinstance(message, BaseMessageChunk):
            told.value = (_joined(told.value[0], message), metadata)
            return
        told = self._put(_Told(name, (message, metadata), live=True))
        if isinstance(message, BaseMessageChunk):
            self._growing[key] = told

    def _add(self, name: str, value: Any, live: bool) -> None:
        """Rendered at once: the graph may change the value."""
        try:
            text = to_json(value)
        except (TypeError, ValueError) as error:
            facts = {"run_id": self._run.run_id, "seq": self._claim.seq}
            log.warning("a %s event has no JSON form: %s", name, error, extra=facts)
            return
        self._put(_Told(name, text, live, not self._began, early=not self._outcome))

    def _put(self, told: _Told) -> _Told:
        self._pending.append(told)
        if told.live:
            self._wake.set()
        return told


def _public(value: Any) -> Any:
    """A checkpoint, or what is wrapped around one, without what its config tells nodes alone."""
    if not isinstance(value, dict):
        return value
    return {
        key: _public(part) if key in CONFIGS else part
        for key, part in value.items()
        if not key.startswith(("baton_", "__baton_"))
    }


def _is_outcome(mode: str, data: Any, began: bool) -> bool:
    return (
        mode == "updates" or (mode == "tasks" and "result" in data) or (mode == "values" and began)
    )


def _named(name: str, ns: Sequence[str]) -> str:
    return "|".join((name, *ns))


def _joined(known: BaseMessage | None, message: BaseMessage) -> BaseMessage:
    """A chunk after those before it; a message replaces what it is the end of."""
    if isinstance(known, BaseMessageChunk) and isinstance(message, BaseMessageChunk):
        joined: BaseMessage = known + message
        return joined
    return message
