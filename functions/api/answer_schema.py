"""What answers look like: errors, and answers of which a request selects fields."""

from typing import Any

from pydantic import BaseModel, create_model


class Problem(BaseModel):
    """What was wrong, where, and what to do."""

    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in {
        401: "Nobody, or nobody known, asks.",
        403: "The caller may not do this.",
        404: "There is no such thing, or it is another's.",
        409: "The request does not fit the state that the thing is in.",
        413: "The body is too large.",
        422: "The request cannot be understood.",
        429: "Too much at once: Retry-After says when to come again.",
        500: "The log says more.",
        503: "A part Baton depends on did not answer: try again.",
    }.items()
}


EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events, each of this shape; data is JSON text.",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}
WITHOUT_DOORS: dict[int | str, dict[str, Any]] = {
    501: {"model": Problem, "description": "The server was installed without `doors`."}
}
NOT_BUFFERED: dict[int | str, dict[str, Any]] = {
    501: {
        "model": Problem,
        "description": "Behind a gateway that buffers, there is no such stream.",
    }
}


def partial(model: type[BaseModel], **more: Any) -> type[BaseModel]:
    """The same answer, of which a request may have selected a part."""
    fields: dict[str, Any] = {
        name: (field.annotation, None) for name, field in model.model_fields.items()
    } | {name: (kind, None) for name, kind in more.items()}
    return create_model(f"Selected{model.__name__}", **fields)
