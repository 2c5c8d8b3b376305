"""What a client asks first: is anybody there, and who."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from fastapi import Response

from functions.api.answers import answer
from functions.api.routing import routes_of

router = routes_of("Meta", responses={})

FLAGS = {"assistants": True, "crons": True, "langsmith": False, "strict_resume": True}


@router.get("/ok")
async def ok() -> Response:
    """Whether the process answers; it asks neither the database nor the queue."""
    return answer({"ok": True})


@router.get("/info")
async def info() -> Response:
    """Versions, and which features there are."""
    return answer(
        {
            "version": baton_version(),
            "langgraph_py_version": _version("langgraph"),
            "flags": FLAGS,
        }
    )


def baton_version() -> str | None:
    """None in a bundle, where Baton itself is not installed."""
    return _version("baton")


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
