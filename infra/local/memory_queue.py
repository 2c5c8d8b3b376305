"""SQS's semantics in memory: delays, visibility, receive counts, dead letters."""

import asyncio
import heapq
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from infra.local.queues import Message, Redrive

LONG_POLL = 20.0


@dataclass(slots=True)
class _Held:
    """A message in the queue; its entry in the heap is the one with the same `turn`."""

    message_id: str
    body: str
    group: str | None
    sent_at: float
    turn: int
    receipt: str = ""
    receive_count: int = 0
    received_at: float = 0.0


class MemoryQueue:
    """A `Source` that is sent to with `put`; messages received too often go to `dead`."""

    arn = "arn:aws:sqs:us-east-1:000000000000:baton-steps"

    def __init__(self, redrive: Redrive) -> None:
        self.redrive = redrive
        self.dead: list[Message] = []
        self._held: dict[str, _Held] = {}
        self._due: list[tuple[float, int, str]] = []  # (when visible, turn, message_id)
        self._turns = count()
        self._rung = asyncio.Event()

    def put(self, body: str, *, group: str | None, delay: float) -> str:
        """Queue a message; its id."""
        held = _Held(str(uuid.uuid4()), body, group, time.time(), turn=0)
        self._held[held.message_id] = held
        self._show(held, delay)
        return held.message_id

    async def receive(self, limit: int) -> list[Message]:
        deadline = time.monotonic() + LONG_POLL
        while not (taken := self._take(limit)):
            now = time.monotonic()
            if now >= deadline:
                return []
            self._rung.clear()
            wake = min(deadline, self._due[0][0]) if self._due else deadline
            alarm = asyncio.get_running_loop().call_later(max(wake - now, 0.0), self._rung.set)
            try:
                await self._rung.wait()
            finally:
                alarm.cancel()
        return taken

    async def delete(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._received(message):
                del self._held[message.message_id]

    async def release(self, messages: Sequence[Message], *, after: float) -> None:
        for message in messages:
            if held := self._received(message):
                self._show(held, after)

    def _received(self, message: Message) -> _Held | None:
        held = self._held.get(message.message_id)
        return held if held and held.receipt == message.receipt else None

    def _show(self, held: _Held, after: float) -> None:
        held.turn = next(self._turns)
        heapq.heappush(self._due, (time.monotonic() + after, held.turn, held.message_id))
        self._rung.set()

    def _take(self, limit: int) -> list[Message]:
        taken: list[Message] = []
        while self._due and len(taken) < limit and self._due[0][0] <= time.monotonic():
            _, turn, message_id = heapq.heappop(self._due)
            held = self._held.get(message_id)
            if held is not None and held.turn == turn and (message := self._hand_out(held)):
                taken.append(message)
        return taken

    def _hand_out(self, held: _Held) -> Message | None:
        dead = held.receive_count >= self.redrive.max_receives
        if not dead:
            held.receive_count += 1
            held.receipt = str(uuid.uuid4())
            held.received_at = held.received_at or time.time()
            self._show(held, self.redrive.visibility)
        message = Message(
            held.message_id,
            held.receipt,
            held.body,
            held.group,
            held.receive_count,
            held.sent_at,
            held.received_at,
        )
        if not dead:
            return message
        del self._held[held.message_id]
        self.dead.append(message)
        return None
