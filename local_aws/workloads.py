"""Containers as local processes: the command of each, in an environment of its own, on 127.0.0.1.

A process holds the lock on its record for as long as it lives, so that whoever finds the record locked knows
that it runs, and nobody is mistaken for it. It is started anew when it was killed, or when its command, its
environment or its files are to be others.
"""

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from local_aws.emulator_process import EmulatorError, try_lock, wait

START_SECONDS = 180
STOP_SECONDS = 30

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One container's process."""

    name: str
    """Names its record and its log."""
    command: Sequence[str]
    environment: Mapping[str, str]
    """All of it: nothing of the user's is inherited."""
    port: int
    ready_path: str
    """Answers 200 once it takes requests."""
    revision: str = ""
    """What else it depends on: another one starts it anew."""
    tls: bool = False
    """Whether it answers over TLS, with a certificate that it has made for itself."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Workloads:
    """The processes of one checkout, with all their files in a folder."""

    def __init__(self, folder: Path, working_directory: Path) -> None:
        self._folder, self._working_directory = folder, working_directory
        self._children: list[subprocess.Popen[bytes]] = []  # kept: a dropped Popen leaves a zombie

    def apply(self, workloads: Sequence[Workload], report: Report) -> Mapping[str, str]:
        """Have exactly these run, and wait until each is ready: name -> `started` or `runs`.

        Raises:
            EmulatorError: one does not start; the message has the end of its log.
        """
        wanted = {workload.name for workload in workloads}
        for name in self.names():
            if name not in wanted:
                self._stop(name, report)
        done = {workload.name: self._ensure(workload, report) for workload in workloads}
        for workload in workloads:
            self._wait(workload, report)
        return done

    def names(self) -> Iterator[str]:
        """Those that have a record, running or not."""
        yield from sorted(path.stem for path in self._folder.glob("*.process"))

    def running(self, name: str) -> int | None:
        """Process id, or None."""
        with suppress(FileNotFoundError), self._record(name).open("rb") as record:
            if not try_lock(record.fileno()):
                return int(json.loads(record.read() or b'{"pid": 0}')["pid"])
        return None

    def stop(self, report: Report) -> None:
        """End all of them."""
        for name in list(self.names()):
            self._stop(name, report)

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.process"

    def _ensure(self, workload: Workload, report: Report) -> str:
        if self.running(workload.name) is not None:
            known = json.loads(self._record(workload.name).read_text())
            if known["digest"] == workload.digest:
                return "runs"
            self._stop(workload.name, report)
        self._start(workload)
        return "started"

    def _start(self, workload: Workload) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", workload.port)) == 0:
                raise EmulatorError(
                    f"port {workload.port}, which the API calls for {workload.name}, is taken by another "
                    "program: end that, or run `make down` and `make up`"
                )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = self._folder / f"{workload.name}.log"
        with self._record(workload.name).open("w") as record, log.open("wb") as output:
            if not try_lock(record.fileno()):
                raise EmulatorError(f"{record.name} is locked by another start; run the command again")
            process = subprocess.Popen(
                list(workload.command),
                env=dict(workload.environment),
                cwd=self._working_directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(record.fileno(),),  # its lock lasts as long as the process
                start_new_session=True,
                umask=0o077,
            )
            json.dump({"pid": process.pid, "digest": workload.digest, "port": workload.port}, record)
        self._children.append(process)

    def _wait(self, workload: Workload, report: Report) -> None:
        ready = wait(
            f"{workload.name} to be ready",
            START_SECONDS,
            lambda: self.running(workload.name) is None or _ready(workload),
            report,
        )
        if not ready or self.running(workload.name) is None:
            log = self._folder / f"{workload.name}.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            self._stop(workload.name, report)
            raise EmulatorError(f"{workload.name} does not start; {log} ends with:\n{tail}")

    def _stop(self, name: str, report: Report) -> None:
        pid = self.running(name)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if not wait(f"{name} to stop", STOP_SECONDS, lambda: self._gone(name), report):
                report(f"{name} did not stop in {STOP_SECONDS} s: killed")
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                wait(f"{name} to go", 5, lambda: self._gone(name), report)
        self._record(name).unlink(missing_ok=True)

    def _gone(self, name: str) -> bool:
        self._children = [child for child in self._children if child.poll() is None]
        return self.running(name) is None


def _ready(workload: Workload) -> bool:
    return answers(workload.port, workload.ready_path, tls=workload.tls)


def answers(port: int, path: str, *, tls: bool = False) -> bool:
    """Whether a process on this machine answers a GET with 200; who it is, nobody asks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    if tls:
        anyone = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=anyone)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        time.sleep(0.05)
        return False
    finally:
        connection.close()
