"""One server of the embedded AWS as a managed process: found, adopted, started, stopped.

`local_aws.emulator_server` is what runs in it, and says how a running one is recognised as ours.
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local_aws import emulator_server

START_SECONDS = 90
STOP_SECONDS = 20


class EmulatorError(Exception):
    """The embedded AWS could not be started, stopped or saved; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running server, known by the lock that it holds on its pid file."""

    pid: int
    port: int


class Server:
    """ministack or moto (`name`), with all its files in `folder`.

    `report` gets a line whenever something takes long or is not as usual, `note_lost` one for each reason why
    resources may be gone.
    """

    def __init__(
        self, name: str, folder: Path, report: Callable[[str], None], note_lost: Callable[[str], None]
    ) -> None:
        self.name, self._folder, self._report, self._note_lost = name, folder, report, note_lost
        self._pid_file, self._log = folder / f"{name}.pid", folder / f"{name}.log"
        self._children: list[subprocess.Popen[bytes]] = []  # kept: a dropped Popen leaves a zombie

    def instance(self) -> Instance | None:
        """Who holds the lock of the pid file: a process writes its record within its first lines.

        One that has ended cleanly has emptied it, and holds the lock until its last thread is gone.
        """
        with suppress(FileNotFoundError), self._pid_file.open("rb") as pid_file:
            for _ in range(600):
                if try_lock(pid_file.fileno()):
                    return None
                if record := pid_file.read():
                    return Instance(**json.loads(record))
                time.sleep(0.05)
            raise EmulatorError(f"{self._pid_file} is locked by a process that is no emulator: end it")
        return None

    def adopt(self) -> Instance | None:
        """The instance that runs, once it answers; one that does not in time is stopped."""
        found = self.instance()
        if found is None:
            return None
        wait(
            f"{self.name} to answer",
            START_SECONDS,
            lambda: self.instance() != found or _answers(found.port),
            self._report,
        )
        if self.instance() != found or _answers(found.port):
            return self.instance()
        self._report(f"{self.name} (process {found.pid}) runs but does not answer: starting it anew")
        self.stop()
        return None

    def launch(self, port: int, *, kept: bool, environment: dict[str, str]) -> Instance:
        """Start it on `port` (0: any), or on another one where that is taken; `kept` ports are missed."""
        with self._pid_file.open("ab+") as pid_file, self._bind(port, kept) as listener:
            if not wait("the pid file", 5, lambda: try_lock(pid_file.fileno()), self._report):
                raise EmulatorError(f"{self._pid_file} is locked by a process that is no emulator: end it")
            pid_file.seek(0)
            if killed := pid_file.read():
                self._end_workers(json.loads(killed)["pid"])
                if self.name == "ministack":
                    self._note_lost("ministack was killed: what was made since its last save is gone")
            if self.name == "moto" and (self._folder / emulator_server.MOTO_USED).exists():
                self._note_lost("moto was restarted: its SageMaker and GuardDuty resources are gone")
                (self._folder / emulator_server.MOTO_USED).unlink()
            pid_file.truncate(0)
            port = listener.getsockname()[1]
            self._report(f"starting {self.name} on 127.0.0.1:{port}")
            process = self._spawn(environment | {"GATEWAY_PORT": str(port)}, listener, pid_file.fileno())
        self._children.append(process)
        ended = process.poll
        wait(
            f"{self.name} to answer",
            START_SECONDS,
            lambda: ended() is not None or _answers(port),
            self._report,
        )
        if ended() is not None or not _answers(port):
            process.kill()
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise EmulatorError(f"{self.name} does not start; {self._log} ends with:\n{tail}")
        return Instance(pid=process.pid, port=port)

    def stop(self) -> None:
        found = self.instance()
        if found is None:
            return
        os.kill(found.pid, signal.SIGTERM)
        if not wait(f"{self.name} to stop", STOP_SECONDS, lambda: self.instance() is None, self._report):
            self._report(f"{self.name} did not stop in {STOP_SECONDS} s: killed, unsaved changes are lost")
        # The process leads a group of its own: this also ends Lambda workers that are busy in a handler.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(found.pid, signal.SIGKILL)
        for child in self._children:
            if child.pid == found.pid:
                child.wait()

    def get(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """(status, body) of the running instance's answer."""
        found = self.instance()
        if found is None:
            raise EmulatorError(f"{self.name} is not running")
        return _get(found.port, path, headers, seconds=60)

    def _bind(self, port: int, kept: bool) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.bind(("127.0.0.1", 0))
            free = listener.getsockname()[1]
            self._report(moved := f"port {port} is taken by another program: {self.name} gets {free}")
            if kept:
                self._note_lost(moved)
        listener.listen(128)  # clients wait in the queue until the server accepts
        return listener

    def _spawn(
        self, environment: dict[str, str], listener: socket.socket, pid_file: int
    ) -> subprocess.Popen[bytes]:
        temporary = self._folder / "tmp" / self.name
        shutil.rmtree(temporary, ignore_errors=True)  # what a killed one left
        temporary.mkdir(parents=True)
        with suppress(FileNotFoundError):
            self._log.replace(self._log.with_suffix(".log.1"))
        descriptors = {"--listener": listener.fileno(), "--pid-file": pid_file}
        with self._log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-I", emulator_server.__file__, self.name]
                + [f"{option}={number}" for option, number in descriptors.items()],
                env={"HOME": str(temporary), "TMPDIR": str(temporary)} | environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,
                umask=0o077,
            )

    def _end_workers(self, killed: int) -> None:
        """End the group of a killed leader, unless its id lives again: then it is somebody else's by now.

        While a group has members, the kernel gives its id to no new process.
        """

        def gone() -> bool:
            self._children = [child for child in self._children if child.poll() is None]
            return not _lives(killed)

        if wait(f"process {killed} to go", 2, gone, self._report):
            with suppress(ProcessLookupError):
                os.killpg(killed, signal.SIGKILL)


def try_lock(descriptor: int) -> bool:
    """Take the file's lock if nobody holds it; the kernel frees it when the last holder of the file ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait(what: str, seconds: float, done: Callable[[], bool], report: Callable[[str], None]) -> bool:
    """Whether it was done in time; a longer wait is told."""
    started = told = time.monotonic()
    while not done():
        now = time.monotonic()
        if now - started > seconds:
            return False
        if now - told > 2:
            told = now
            report(f"waiting for {what} ({now - started:.0f} of {seconds:.0f} s)")
        time.sleep(0.05)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _answers(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return _get(port, emulator_server.HEALTH_PATH, {}, seconds=2)[0] == 200
    return False


def _get(port: int, path: str, headers: dict[str, str], seconds: float) -> tuple[int, str]:
    """No urllib here: it would ask the proxy of the user's environment."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
