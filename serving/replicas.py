"""Which replicas of a model are ready, as the cluster's DNS tells."""

import asyncio
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

_RESOLVE_AGAIN_S = 1.0


class Replicas:
    """The addresses behind a host name, looked up again after a second."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def __call__(self, url: str) -> Sequence[str]:
        """Base URLs of the replicas of the model at `url`; none when the name has no addresses."""
        until, found = self._known.get(url, (0.0, []))
        if time.monotonic() >= until:
            place = urlsplit(url)
            loop = asyncio.get_running_loop()
            try:
                addresses = await loop.getaddrinfo(place.hostname, place.port, family=socket.AF_INET)
            except socket.gaierror:
                addresses = []
            hosts = {str(address[4][0]) for address in addresses}
            found = sorted(f"http://{host}:{place.port}" for host in hosts)
            self._known[url] = (time.monotonic() + _RESOLVE_AGAIN_S, found)
        return found
