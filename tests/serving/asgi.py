"""Applications of the tests, served over real HTTP."""

import contextlib
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
