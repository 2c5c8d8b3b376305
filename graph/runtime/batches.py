"""What a connection is told, as the messages it is told it in.

A frame has the form of the SDK's v3 protocol, its data that of a run's stream. Frames travel in
batches, for a gateway bills messages and has a longest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from graph.runtime.models import Event, Json, News, RunEnd, RunStatus, Subscription
from graph.runtime.rendering import to_json

BATCH = 32_000  # bytes: one WebSocket frame of API Gateway, and what it bills as one message
LONGEST = 128_000  # bytes of the longest message it takes
SLACK = 300  # bytes of the envelope
LIFECYCLE = {
    RunStatus.SUCCESS: "completed",
    RunStatus.INTERRUPTED: "interrupted",
    RunStatus.ERROR: "failed",
    RunStatus.TIMEOUT: "failed",
}
Item = tuple[str, Event] | RunEnd


@dataclass(frozen=True, slots=True)
class Batch:
    """A message, and what its receiver has had then."""

    body: bytes
    cursor: int
    ended_after: datetime


def in_order(news: News) -> list[Item]:
    """Events and ends of runs as they happened: a run's end after the last it told.

    An end is held back that events of its run may still come before, on the next page.
    """
    last = {run_id: place for place, (run_id, _) in enumerate(news.events, 1)}
    items: list[Item] = []
    place = 0
    for end in news.ends:
        upto = max(place, last.get(end.run_id, 0))
        if news.more and upto == len(news.events):
            break
        items += news.events[place:upto]
        items.append(end)
        place = upto
    return items + list(news.events[place:])


def heard_by(one: Subscription, items: Sequence[Item]) -> list[Item]:
    """What of it this connection wants, and has not had."""
    return [item for item in items if _is_news(one, item) and _is_wanted(one, item)]


def _is_news(one: Subscription, item: Item) -> bool:
    if isinstance(item, RunEnd):
        return item.ended_at > one.ended_after
    return item[1].seq > one.cursor


def _is_wanted(one: Subscription, item: Item) -> bool:
    run_id = item.run_id if isinstance(item, RunEnd) else item[0]
    if one.run_id not in ("", run_id):
        return False
    return isinstance(item, RunEnd) or not one.channels or _channel(item[1]) in one.channels


def batches(one: Subscription, items: Sequence[Item]) -> list[Batch]:
    """The messages that tell it, each with where the subscription stands after it."""
    made: list[Batch] = []
    frames: list[bytes] = []
    size, cursor, ended_after = 0, one.cursor, one.ended_after
    for item in items:
        frame = _frame(one.thread_id, item, cursor)
        if frames and size + len(frame) > BATCH - SLACK:
            made.append(Batch(_batch(one.thread_id, frames), cursor, ended_after))
            frames, size = [], 0
        if isinstance(item, RunEnd):
            ended_after = item.ended_at
        else:
            cursor = item[1].seq
        frames.append(frame)
        size += len(frame) + 1
    if frames:
        made.append(Batch(_batch(one.thread_id, frames), cursor, ended_after))
    return made


def _batch(thread_id: str, frames: Sequence[bytes]) -> bytes:
    head = b'{"type":"batch","thread_id":%b,"frames":[' % to_json(thread_id)
    return head + b",".join(frames) + b"]}"


def _frame(thread_id: str, item: Item, cursor: int) -> bytes:
    if isinstance(item, RunEnd):
        return to_json(_end(item, cursor))
    run_id, event = item
    name, *namespace = event.name.split("|")
    head = {"type": "event", "event_id": str(event.seq), "seq": event.seq, "method": name}
    params: Json = {"namespace": namespace, "timestamp": _now(), "run_id": run_id}
    if len(event.data) > LONGEST - 4 * SLACK:
        # Too long for any message: where it is to be had instead.
        after = {"Last-Event-ID": str(event.seq - 1)}
        path = f"/threads/{thread_id}/runs/{run_id}/stream"
        return to_json({**head, "params": {**params, "data": None, "get": path, "headers": after}})
    opened = to_json({**head, "params": params})[:-2]
    return b"".join((opened, b',"data":', event.data, b"}}"))


def _end(end: RunEnd, cursor: int) -> Json:
    data: Json = {"event": LIFECYCLE[end.status], "run_id": end.run_id, "status": end.status}
    if end.error:
        data["error"] = end.error
    params = {"namespace": [], "timestamp": _now(), "run_id": end.run_id, "data": data}
    return {
        "type": "event",
        "event_id": f"{end.run_id}:end",
        "seq": cursor,
        "method": "lifecycle",
        "params": params,
    }


def _channel(event: Event) -> str:
    return event.name.split("|")[0].split("/")[0]


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
