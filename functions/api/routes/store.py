"""The long-term store: items by namespace and key, each owner's own."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from functions.api.access.owner import Owner
from functions.api.answers import answer, nothing
from functions.api.edge import Api, Edge
from functions.api.routing import routes_of
from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import Limit, Offset
from graph.errors import BadInput
from graph.runtime.models import Json
from graph.runtime.retention import YEARS_10

router = routes_of("Store")

LONGEST = 1000  # bytes of a key, and of a namespace: both are in one index entry
T = TypeVar("T")


def _label(text: str) -> str:
    if not text or "." in text or "\0" in text:
        raise ValueError("a label of a namespace is a text without dots, and not empty")
    return text


def _dotted(text: str) -> str:
    for label in text.split(".") if text else ():
        _label(label)
    return text


def _short(parts: str | list[str]) -> str | list[str]:
    if "\0" in parts:
        raise ValueError("it contains the character NUL")
    if len(".".join([parts] if isinstance(parts, str) else parts).encode()) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    return parts


def _may_be_written(namespace: list[str]) -> list[str]:
    if namespace[0] == "langgraph":
        raise ValueError("the first label must not be langgraph")
    return namespace


Namespace = Annotated[list[Annotated[str, AfterValidator(_label)]], AfterValidator(_short)]
Written = Annotated[Namespace, Field(min_length=1), AfterValidator(_may_be_written)]
Key = Annotated[str, Field(min_length=1), AfterValidator(_short)]


class ItemPut(BaseModel):
    namespace: Written
    key: Key
    value: Json
    index: Literal[False] | list[str] | None = Field(
        None, description="The paths to be found by meaning; false: none, null: the project's."
    )
    ttl: int | None = Field(None, ge=1, le=YEARS_10, description="Minutes; null: for good.")


class ItemDelete(BaseModel):
    namespace: Namespace
    key: Key


class ItemSearch(BaseModel):
    namespace_prefix: Namespace = []
    filter: Json | None = Field(None, description="By value, or by $eq, $ne, $gt, $gte, $lt, $lte.")
    limit: Limit = 10
    offset: Offset = 0
    query: str | None = Field(
        None, description="Nearest in meaning first; without `store.index` it makes no difference."
    )
    refresh_ttl: bool | None = None


class NamespaceSearch(BaseModel):
    prefix: Namespace | None = Field(None, description="`*` stands for one label.")
    suffix: Namespace | None = None
    max_depth: int | None = Field(None, ge=1, le=1000)
    limit: Limit = 100
    offset: Offset = 0


class ItemAnswer(Answer):
    model_config = ConfigDict(title="Item")

    namespace: list[str]
    key: str
    value: Json
    created_at: datetime
    updated_at: datetime


class FoundItem(ItemAnswer):
    model_config = ConfigDict(title="SearchItem")

    score: float | None


class FoundItems(Answer):
    items: list[FoundItem]


class FoundNamespaces(Answer):
    namespaces: list[list[str]]


@router.put("/store/items", status_code=204, response_class=Response)
async def put(api: Api, owner: Owner, asked: ItemPut) -> Response:
    """Keep an item, in the place of one that has its namespace and key."""
    given: dict[str, Any] = {} if asked.ttl is None else {"ttl": asked.ttl}
    namespace = tuple(asked.namespace)
    await _asked(_of(api, owner).aput(namespace, asked.key, asked.value, asked.index, **given))
    return nothing()


@router.get("/store/items", response_model=ItemAnswer | None)
async def get(
    api: Api,
    owner: Owner,
    key: Annotated[Key, Query()],
    namespace: Annotated[
        str, AfterValidator(_dotted), Query(description="Its labels, joined by dots.")
    ] = "",
    refresh_ttl: bool | None = None,
) -> Response:
    """The item, or null."""
    labels = tuple(namespace.split(".")) if namespace else ()
    store = _of(api, owner)
    found = await _asked(store.aget(labels, key, refresh_ttl=refresh_ttl))
    return answer(found and found.dict())


@router.delete("/store/items", status_code=204, response_class=Response)
async def delete(api: Api, owner: Owner, asked: ItemDelete) -> Response:
    """Drop an item; nothing happens if there is none."""
    await _asked(_of(api, owner).adelete(tuple(asked.namespace), asked.key))
    return nothing()


@router.post("/store/items/search", response_model=FoundItems)
async def search(api: Api, owner: Owner, asked: ItemSearch) -> Response:
    """Items below a namespace, changed last first."""
    found = await _asked(
        _of(api, owner).asearch(
            tuple(asked.namespace_prefix),
            query=asked.query,
            filter=asked.filter,
            limit=asked.limit,
            offset=asked.offset,
            refresh_ttl=asked.refresh_ttl,
        )
    )
    return answer({"items": [item.dict() for item in found]})


@router.post("/store/namespaces", response_model=FoundNamespaces)
async def namespaces(api: Api, owner: Owner, asked: NamespaceSearch) -> Response:
    """The namespaces that hold items, in order."""
    found = await _asked(
        _of(api, owner).alist_namespaces(
            prefix=tuple(asked.prefix or ()),
            suffix=tuple(asked.suffix or ()),
            max_depth=asked.max_depth,
            limit=asked.limit,
            offset=asked.offset,
        )
    )
    return answer({"namespaces": found})


def _of(api: Edge, owner: str) -> Any:
    assert api.rt.long_term is not None, "a server has a long-term store"
    return api.rt.long_term.of(owner)


async def _asked(call: Awaitable[T]) -> T:
    """What LangGraph's store refuses is the request's fault: filters, paths, namespaces."""
    try:
        return await call
    except ValueError as error:
        raise BadInput(str(error)) from error
