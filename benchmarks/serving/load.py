"""A load generator that takes little of the machine itself: bytes out, bytes in, keep-alive connections."""

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
import uvloop


@dataclass
class Measured:
    """Latencies in milliseconds of one server at one concurrency, and the seconds that they took together.

    `cpu_s`: of the server's own processes, which says the same on a busy machine as on an idle one.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of a processor for one request."""
        return self.cpu_s * 1e3 / len(self.latencies)

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.latencies, share))


def post(port: int, path: str, body: bytes) -> bytes:
    """The bytes of a request for a server on this machine."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def drive(port: int, request: bytes, concurrency: int, count: int, into: Measured) -> bytes:
    """Send `count` requests over `concurrency` connections and note what they took; the last answer's body.

    Raises:
        RuntimeError: an answer is not 200.
    """
    return uvloop.run(_drive(port, request, concurrency, count, into))


async def _drive(port: int, request: bytes, concurrency: int, count: int, into: Measured) -> bytes:
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(concurrency)]
    left = count
    body = b""

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left, body
        while left > 0:
            left -= 1
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            into.latencies.append((time.perf_counter() - started) * 1e3)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"port {port} answered {head[:40]!r} {body[:300]!r}")

    started = time.perf_counter()
    try:
        await asyncio.gather(*(ask(*stream) for stream in streams))
        into.seconds += time.perf_counter() - started
    finally:
        for _, writer in streams:
            writer.close()
    return body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without its length: {head!r}")
