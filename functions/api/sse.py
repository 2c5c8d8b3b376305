"""Events as server-sent events."""

from graph.runtime.models import Event

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HEARTBEAT = b": heartbeat\n\n"


def sse(event: Event | None) -> bytes:
    """One event, with its number as id if it has one; a comment for none."""
    if event is None:
        return HEARTBEAT
    number = b"id: %d\n" % event.seq if event.seq else b""
    return b"event: %b\ndata: %b\n%b\n" % (event.name.encode(), event.data, number)
