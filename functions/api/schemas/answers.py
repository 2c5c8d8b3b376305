"""What answers look like: errors, and answers of which a request selects fields."""

from typing import Any

from pydantic import BaseModel, create_model


class Answer(BaseModel, defer_build=True):
    """What an answer looks like: routes answer JSON as it is, so only the document asks for it."""


class Problem(Answer):
    """What was wrong, where, and what to do."""

    detail: str


# By reference: of a model FastAPI builds a validator for each status of each route, at import and
# again at the first request. The rarer ones, below and in routes/, bring the schema itself.
DESCRIBED = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"content": DESCRIBED, "description": what}
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


NUMBER = {"type": "number"}
TEXT = {"type": "string"}
# What the data of events is that are Baton's own, or have something of its own.
DATA: dict[str, dict[str, Any]] = {
    "tools": {
        "event": {"enum": ["tool-started", "tool-output-delta", "tool-finished", "tool-error"]},
        "tool_call_id": TEXT,
        "tool_name": TEXT,
        "input": {"description": "Of tool-started."},
        "delta": {"description": "Of tool-output-delta."},
        "output": {"description": "Of tool-finished."},
        "message": {**TEXT, "description": "Of tool-error."},
        "ms": {**NUMBER, "description": "That the call took, of the two that end it."},
    },
    "progress": {
        "step": {"type": "integer", "minimum": 1, "description": "Which one of the run it is."},
        "of": {"type": ["integer", "null"], "description": "Its recursion_limit, if it has one."},
        "node": {**TEXT, "description": "That reports how far it is."},
        "percent": {**NUMBER, "minimum": 0, "maximum": 100},
        "note": TEXT,
    },
}
EVENT = {
    "type": "object",
    "properties": dict.fromkeys(("id", "event", "data"), TEXT),
    "required": ["event", "data"],
    "allOf": [
        {
            "if": {"properties": {"event": {"pattern": rf"^{name}(\||$)"}}},
            "then": {
                "properties": {
                    "data": {
                        "contentMediaType": "application/json",
                        "contentSchema": {"type": "object", "properties": properties},
                    }
                }
            },
        }
        for name, properties in DATA.items()
    ],
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
    return create_model(f"Selected{model.__name__}", __base__=Answer, **fields)


def list_of(model: type[BaseModel]) -> Any:
    """The type of a list of a model that is made here, which no annotation can name."""
    return list.__class_getitem__(model)
