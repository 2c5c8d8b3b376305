"""What an assistant's graph is made of: nodes and edges, schemas, nested graphs."""

from typing import Annotated, Any

from fastapi import Query, Response

from functions.api.access.owner import Owner
from functions.api.answers import answer
from functions.api.edge import Api, Edge
from functions.api.routing import routes_of
from functions.api.schemas.assistants import GraphAnswer, SchemasAnswer
from graph.errors import BadInput
from graph.runtime.assistants import find_runnable
from graph.runtime.late import late
from graph.runtime.models import Assistant

router = routes_of("Assistants", prefix="/assistants/{assistant_id}")

Depth = Annotated[
    bool | Annotated[int, Query(ge=1)], Query(description="open nested graphs, to that depth")
]


@router.get("/graph", response_model=GraphAnswer)
async def get_graph(api: Api, owner: Owner, assistant_id: str, xray: Depth = False) -> Response:
    """The graph as nodes and edges."""
    _, graph = await _loaded(api, assistant_id, owner)
    try:
        drawn = await graph.aget_graph(xray=xray)
    except NotImplementedError:  # LangGraph's, of what it cannot draw
        raise BadInput(f"the graph of assistant {assistant_id} cannot be drawn") from None
    return answer(drawn.to_json())


@router.get("/schemas", response_model=SchemasAnswer)
async def get_schemas(api: Api, owner: Owner, assistant_id: str) -> Response:
    """JSON schemas of what the graph takes, gives and keeps."""
    await late("graph.runtime.json_schemas")
    from graph.runtime.json_schemas import schemas_of

    assistant, graph = await _loaded(api, assistant_id, owner)
    return answer({"graph_id": assistant.graph_id, **schemas_of(graph)})


@router.get("/subgraphs", response_model=dict[str, SchemasAnswer])
@router.get("/subgraphs/{namespace}", response_model=dict[str, SchemasAnswer])
async def get_subgraphs(
    api: Api, owner: Owner, assistant_id: str, namespace: str | None = None, recurse: bool = False
) -> Response:
    """The schemas of nested graphs by namespace: `outer`, or with `recurse` `outer|inner`, too."""
    await late("graph.runtime.json_schemas")
    from graph.runtime.json_schemas import schemas_of

    _, graph = await _loaded(api, assistant_id, owner)
    nested = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
    return answer({ns: {"graph_id": None, **schemas_of(g)} async for ns, g in nested})


async def _loaded(api: Edge, name: str, owner: str) -> tuple[Assistant, Any]:
    """The assistant and its graph, made for its configuration."""
    assistant = await find_runnable(api.rt, name, owner)
    return assistant, await api.rt.graphs.load(assistant.graph_id, assistant.config)
