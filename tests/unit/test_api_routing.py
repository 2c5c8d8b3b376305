"""Routes that are built when they are first needed, and nothing else about them is different."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from functions.api.access.permission import permitted
from functions.api.answers import answer
from functions.api.app import create_app
from functions.api.request.limits import StrictRoute
from functions.api.routing import LateRoute, routes_of


class Item(BaseModel):
    price: int


def an_app() -> tuple[FastAPI, LateRoute, LateRoute]:
    """Two routes of one path: GET and POST."""
    router = routes_of("Items", prefix="/items")

    @router.get("/{name}")
    async def get(name: str) -> Response:
        return answer({"name": name})

    @router.post("/{name}", status_code=201, response_model=Item)
    async def post(name: str, asked: Item, request: Request) -> Response:
        return answer({"name": name, "price": asked.price, "kind": type(request).__name__})

    app = FastAPI()
    app.router.routes.extend(router.routes)
    got, posted = router.routes
    assert isinstance(got, LateRoute)
    assert isinstance(posted, LateRoute)
    return app, got, posted


async def call(app: FastAPI, method: str, path: str, body: Any = None) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.request(method, path, json=body)


def is_built(route: LateRoute) -> bool:
    return "_built" in vars(route)


async def test_only_the_route_that_is_asked_for_is_built() -> None:
    app, got, posted = an_app()
    assert (await call(app, "GET", "/others/a")).status_code == 404
    assert not is_built(got)

    assert (await call(app, "GET", "/items/a")).json() == {"name": "a"}

    assert (is_built(got), is_built(posted)) == (True, False)


async def test_it_is_built_once() -> None:
    app, got, _ = an_app()
    await call(app, "GET", "/items/a")
    built = vars(got)["_built"]
    await call(app, "GET", "/items/b")
    assert vars(got)["_built"] is built


async def test_it_validates_and_answers_as_ever() -> None:
    app, _, _ = an_app()
    wrong = await call(app, "POST", "/items/a", {"price": "a lot"})
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", "price"])

    right = await call(app, "POST", "/items/a", {"price": "3"})
    assert right.json() == {"name": "a", "price": 3, "kind": "StrictJson"}

    unknown = await call(app, "DELETE", "/items/a")
    assert (unknown.status_code, unknown.headers["allow"]) == (405, "GET")


def test_the_document_describes_it_as_it_describes_others() -> None:
    app, *late = an_app()
    plain = FastAPI()
    for route in late:
        plain.router.add_api_route(
            route.path,
            route.endpoint,
            methods=list(route.methods or ()),
            response_model=route.response_model,
            status_code=route.status_code,
            tags=route.tags,
            responses=route.responses,
            dependencies=route.dependencies,
        )
    assert app.openapi() == plain.openapi()
    assert set(app.openapi()["paths"]["/items/{name}"]) == {"get", "post"}


def test_what_no_route_has_it_has_not() -> None:
    _, got, _ = an_app()
    assert not hasattr(got, "colour")
    with pytest.raises(AttributeError, match="'StrictRoute' object has no attribute 'colour'"):
        _ = got.colour


def test_a_route_that_cannot_be_built_says_why_each_time() -> None:
    router = routes_of("Items")

    @router.get("/items/{name}")
    async def get(name: dict[str, int]) -> Response:
        raise AssertionError(name)

    for _ in range(2):
        with pytest.raises(AssertionError, match="Path params must be of one of the supported"):
            FastAPI(routes=router.routes).openapi()


def test_every_route_of_the_api_asks_for_permission_first() -> None:
    """A router made without `routes_of` would not."""
    app = create_app()
    own = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(own) > 60
    for route in own:
        assert isinstance(route, StrictRoute), route.path
        assert route.dependant.dependencies[0].call is permitted, route.path
    assert {type(route).__name__ for route in app.routes} == {
        "LateRoute",
        "Route",  # the documents
        "WebSocketRoute",
    }
