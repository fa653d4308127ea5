"""How the servers of containers listen."""

from typing import Any

import uvicorn

# Idle connections are for who asks to close: one that ends just as a request comes in loses the request.
KEEP_ALIVE_S = 75


def config(application: Any, host: str, port: int, grace_s: int) -> uvicorn.Config:
    """Of an ASGI application; requests in flight may take `grace_s` seconds after SIGTERM. Applications write
    their own logs, and answers say nothing of the server.
    """
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=grace_s,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
