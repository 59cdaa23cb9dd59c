"""Connections to public addresses only: what a name resolves to is checked, and then connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

import httpcore

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Return whether an address is one of the internet's, and not of this machine, its network or a special kind.

    Addresses that stand for another one, as those of IPv4 in IPv6 do, are public if that one is, too.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return all(one.is_global and not one.is_multicast for one in (parsed, *_embedded(parsed)))


def _embedded(address: _Address) -> list[_Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to public addresses only.

    The name is resolved here, once, and the connection goes to an address that was checked: a name server that answers
    otherwise the next time changes nothing.

    Args:
        trusted: A host whose address may be any, or None.
    """

    def __init__(self, trusted: str | None = None) -> None:
        self._trusted = trusted
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if host == self._trusted:
            return await self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved ({error.strerror})") from None
        addresses = list(dict.fromkeys(str(information[4][0]) for information in found))
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise httpcore.ConnectError(f"{host} has no public address")
        for address in public[:-1]:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._plain.connect_tcp(public[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("sockets of this machine are not public")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
