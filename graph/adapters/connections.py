"""The way to WebSocket connections: the gateway's @connections API, called concurrently."""

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from graph.errors import Gone, Undelivered

if TYPE_CHECKING:
    import httpx

SECONDS = 5.0  # for one push: who does not take it by then is pushed to later
AT_ONCE = 64


class ApiGatewayConnections:
    """A `Gateway` over httpx, signed with this process's credentials.

    Not boto3's client: that blocks a thread for each push.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS, at_once: int = AT_ONCE) -> None:
        self.url = url.rstrip("/")
        self._seconds = seconds
        self._at_once = at_once
        self._client: httpx.AsyncClient | None = None

    async def push(self, connection_id: str, message: bytes) -> None:
        import httpx

        url = f"{self.url}/@connections/{quote(connection_id, safe='')}"
        try:
            response = await self._http().post(url, content=message, headers=_signed(url, message))
        except httpx.HTTPError as error:
            raise Undelivered(f"{type(error).__name__} {error}".rstrip()) from error
        if response.status_code == 410:
            raise Gone(f"connection {connection_id} is over")
        if not response.is_success:
            raise Undelivered(f"the gateway answered {response.status_code}: {response.text[:200]}")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _http(self) -> "httpx.AsyncClient":
        import httpx

        if self._client is None:
            limits = httpx.Limits(max_connections=self._at_once)
            timeout = httpx.Timeout(self._seconds, pool=None)  # waiting for a turn is no failure
            self._client = httpx.AsyncClient(trust_env=False, limits=limits, timeout=timeout)
        return self._client


def _signed(url: str, message: bytes) -> dict[str, str]:
    """The headers of a request that IAM lets through."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    session = _session()
    request = AWSRequest("POST", url, data=message, headers={"content-type": "application/json"})
    region = session.get_config_variable("region")
    SigV4Auth(session.get_credentials(), "execute-api", region).add_auth(request)
    return dict(request.headers)


@cache
def _session() -> Any:
    from botocore.session import get_session

    return get_session()
