"""Ports of the processes that stand for private backends: the cluster's load balancer, SageMaker's endpoints.

A port is chosen when it is first asked for and kept until `down`, because the gateway's integrations contain
it: whoever imports an API asks before the process exists.
"""

import fcntl
import json
import os
import socket
from pathlib import Path

FILE = "backend-ports.json"
LOAD_BALANCER = "load-balancer"
"""Backend behind every private integration: the cluster has one load balancer."""
SAGEMAKER_RUNTIME = "sagemaker-runtime"
"""Stands for the service that endpoints are asked through."""
TRACES = "xray-daemon"
"""UDP port of the daemon that functions tell their traces; nobody listens but who wants to see them."""


def port_of(folder: Path, backend: str) -> int:
    """The port on 127.0.0.1 that stands for a backend, e.g. `endpoint/<name>`.

    Args:
        folder: the embedded AWS's own, `<dir>/aws`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Plug-ins and the command line may ask at the same time.
    with os.fdopen(os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        text = file.read()
        ports: dict[str, int] = json.loads(text) if text else {}
        if backend not in ports:
            ports[backend] = _free_port(taken=set(ports.values()))
            file.seek(0)
            file.truncate()
            json.dump(ports, file)
        return ports[backend]


def endpoint(name: str) -> str:
    """A SageMaker endpoint as a backend."""
    return f"endpoint/{name}"


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
