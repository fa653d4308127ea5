"""Servers of the tests, over real HTTP: any ASGI application, and one that dies under its requests."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn


@contextlib.contextmanager
def serving(application: Any, lifespan: str = "off") -> Iterator[str]:
    """The application's URL, while it is served in a thread of its own."""
    config = uvicorn.Config(application, host="127.0.0.1", port=0, log_level="error", lifespan=lifespan)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def dying(asked: list[str], name: str) -> Iterator[str]:
    """A replica that ends under whatever it is asked, as one that is killed or out of memory does."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            asked.append(name)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
