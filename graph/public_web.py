"""The public internet, and only that: requests that cannot be led to an address inside.

Every address a name leads to is checked, and the one that was checked is the one connected to, so
that a name cannot lead elsewhere a moment later.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

Address = IPv4Address | IPv6Address
Allowed = Callable[[Address], bool]

# Public to look at, but they carry another address inside.
WRAPPED = [ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


class Refused(Exception):
    """A request that is not made, and why."""


class NoAddress(Refused):
    """The name leads nowhere, now."""


def is_public(address: Address) -> bool:
    """Whether an address is one that anybody on the internet can reach."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in WRAPPED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def allowing(networks: str) -> Allowed:
    """The public internet and these networks besides, separated by commas; raises ValueError."""
    inside = [ip_network(name.strip()) for name in networks.split(",") if name.strip()]

    def allowed(address: Address) -> bool:
        return is_public(address) or any(
            address in network for network in inside if network.version == address.version
        )

    return allowed


def checked(url: str) -> "httpx.URL":
    """An http or https address without a password; raises Refused."""
    import httpx  # wanted only where something is fetched

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise Refused(f"{url!r} is not an address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Refused(f"{url} is not an http or https address")
    if parsed.userinfo:
        raise Refused("an address with a password in it is not used")
    return parsed


async def pinned(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    *,
    allowed: Allowed = is_public,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> "httpx.Request":
    """A request to the very address that was checked; raises Refused."""
    parsed = checked(url)
    addresses = await _resolve(
        parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80)
    )
    if not all(allowed(address) for address in addresses):
        raise Refused(f"{parsed.host} is not on the public internet")
    return client.build_request(
        method,
        parsed.copy_with(host=str(addresses[0])),
        headers={
            "host": parsed.netloc.decode("ascii"),
            "accept-encoding": "identity",  # what is small packed may be large unpacked
            "user-agent": "baton",
            **(headers or {}),
        },
        content=content,
        extensions={"sni_hostname": parsed.raw_host.decode("ascii")},
    )


async def _resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAddress(f"{host} has no address") from error
    return [ip_address(where[0]) for *_, where in found]
