"""The server of this checkout and its peers, each a process of its own on this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import uv

from benchmarks.serving.load import Measured, drive

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "FastAPI": ("fastapi", ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]),
    "LitServe": ("litserve", ["litserve==0.2.19"]),
    "MLServer": ("mlserver", ["mlserver==1.7.1"]),
    "KServe SDK": ("kserve", ["kserve==0.21.0"]),
}
"""Peer -> the module that serves with it, what it takes. All use the ONNX Runtime of this checkout."""


def install(folder: Path) -> dict[str, str]:
    """Make an environment for each peer under `folder`; why it could not be made, for those it could not."""
    failed = {}
    for peer, (module, requirements) in PEERS.items():
        python = folder / module / "bin" / "python"
        marker = folder / module / "installed"
        if marker.exists() and marker.read_text() == " ".join(requirements):
            continue
        print(f"installing {peer} into {folder / module}", file=sys.stderr, flush=True)
        runtime = [f"onnxruntime=={version('onnxruntime')}", f"numpy=={version('numpy')}"]
        commands: tuple[list[str | Path], ...] = (
            [uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, folder / module],
            [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, *requirements, *runtime],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failed[peer] = done.stderr.strip().splitlines()[-1]
                break
        else:
            marker.write_text(" ".join(requirements))
    return failed


@dataclass(frozen=True)
class Started:
    """A server that runs: where it listens, and the group of its processes."""

    port: int
    group: int

    def cpu_s(self) -> float:
        """Seconds of a processor that its processes have taken so far (Linux)."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[2]) == self.group:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    commands: dict[str, list[str | Path]], model: Path, request: bytes
) -> Iterator[dict[str, Started]]:
    """Start a server for each command and wait until it answers."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-serving-"))
        started: dict[str, Started] = {}
        for name, command in commands.items():
            port = _free_port()
            log = stack.enter_context(Path(folder, f"{name}.log").open("wb"))
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": folder,
                    "PORT": str(port),
                    "GRPC_PORT": str(_free_port()),
                    "MODEL": str(model / "model.onnx"),
                    "MODEL_DIR": str(model),
                    "OMP_NUM_THREADS": "1",
                    **({"PYTHONPATH": str(ROOT)} if name == "this" else {}),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(_end, process)
            started[name] = Started(port, process.pid)
            _wait(name, process, port, request, Path(folder, f"{name}.log"))
        yield started


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(name: str, process: subprocess.Popen[bytes], port: int, request: bytes, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            drive(port, request, 1, 1, Measured())
            return
        except (OSError, EOFError, RuntimeError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name}: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.3)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and the workers that it started, which are of its process group."""
    for signal in (15, 9):
        try:
            os.killpg(process.pid, signal)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
