"""Events as server-sent events."""

from graph.runtime.models import Event

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HEARTBEAT = b": heartbeat\n\n"


def sse(event: Event | None) -> bytes:
    """One event, with its number as id if it has one; a comment for none."""
    if event is None:
        return HEARTBEAT
    return block(event.name, event.data, str(event.seq) if event.seq else None)


def block(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """An event by its parts, the data being JSON text."""
    number = b"id: %b\n" % event_id.encode() if event_id else b""
    return b"event: %b\ndata: %b\n%b\n" % (name.encode(), data, number)
