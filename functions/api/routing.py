"""How the API's routes are made: each asks for permission, and is built when it is first needed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends
from starlette.routing import compile_path

from functions.api.access.permission import permitted
from functions.api.request.limits import StrictRoute
from functions.api.schemas.answers import PROBLEMS

Described = dict[int | str, dict[str, Any]]


def routes_of(tag: str, *, prefix: str = "", responses: Described = PROBLEMS) -> APIRouter:
    """A router whose routes the app takes as they are: FastAPI would build those it includes again.

    `responses` is what all of them may answer besides what each says.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        responses=responses,
        route_class=LateRoute,
        dependencies=[Depends(permitted)],
    )


class LateRoute(StrictRoute):
    """Knows what it matches; all else is built for the first request, or for the document.

    A process meets few of the routes, and building all of them takes longer than most requests.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        self.path, self.endpoint = path, endpoint
        self.methods = set(given["methods"] or ["GET"])
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self._build = partial(StrictRoute, path, endpoint, **given)

    def __getattr__(self, name: str) -> Any:
        """What is not known here is the built route's."""
        own = vars(self)
        if "_built" not in own:
            own["_built"] = self._build()
        return getattr(own["_built"], name)
