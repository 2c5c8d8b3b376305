"""What a browser sees that is sent to the server's address."""

from functools import cache
from html import escape
from pathlib import Path
from string import Template

from fastapi import Request, Response

from functions.api.access.identify import anybody
from functions.api.answers import answer
from functions.api.edge import Api
from functions.api.routes.meta import baton_version
from functions.api.routing import routes_of

PAGE = Path(__file__).with_name("welcome.html")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Vary": "Accept",
}

router = routes_of("Meta", responses={})


@router.get("/", include_in_schema=False)
async def welcome(request: Request, api: Api) -> Response:
    """A page for people; programs are told that the server is up."""
    if "text/html" not in request.headers.get("accept", ""):
        return answer({"ok": True}, headers={"Vary": "Accept"})
    is_open = api.identify is anybody
    # What there is, is for callers: the page asks for none.
    names = [escape(name) for name in api.rt.graphs.names()] if is_open else []
    listed = "".join(f"<li>{name}</li>" for name in names)
    page = _template().substitute(
        graphs=f"<ul>{listed}</ul>" if is_open else "<p>Who calls must say who they are.</p>",
        first=names[0] if names else "agent",
        credentials="" if is_open else ', api_key="..."',
        version=escape(baton_version() or ""),
    )
    return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)


@cache
def _template() -> Template:
    return Template(PAGE.read_text(encoding="utf-8"))
