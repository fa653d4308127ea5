"""ASGI, as far as the router needs it: bodies, answers of its own, and requests that go nowhere."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 16 * 2**20


class Refused(Exception):
    """A request that goes nowhere: `status`, and the document that says why."""

    def __init__(self, status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None):
        super().__init__(status)
        self.status, self.document, self.headers = status, document, headers or {}


async def read(receive: Receive) -> bytes:
    """A request's body. Raises Refused for one that is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, {"error": f"the body is larger than {MAX_BODY_BYTES} bytes"})
        if not message.get("more_body"):
            return bytes(body)


async def until_gone(receive: Receive) -> None:
    """Wait for the client to leave."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a whole JSON answer."""
    given = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
