"""The embedded AWS as managed processes: ministack, and moto's server for SageMaker and GuardDuty.

    python -m local_aws.emulator {start,stop,status} [--dir .local]

Both listen on 127.0.0.1 only and keep all they write under `<dir>/aws/`. They get an environment of their own
and none of the user's, since every Lambda function inherits it, and a root access key made for this checkout.
`local_aws.emulator_server` is what runs in them, and says how an instance is recognised as ours.
"""

import argparse
import errno
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local_aws import emulator_server as server

SERVERS = ("ministack", "moto")
START_SECONDS = 90
STOP_SECONDS = 20
_FOREIGN_LOCK = "{} is locked by a process that is no emulator: end that process"


class EmulatorError(Exception):
    """The embedded AWS could not be started, stopped or saved; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Base URLs, without a slash at the end."""

    ministack: str
    moto: str


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running server, known by the lock that it holds on its pid file."""

    pid: int
    port: int


class Emulator:
    """The two servers of one checkout.

    `local_dir` is the checkout's `.local`. `preferred_port` is tried for ministack and the next one for moto
    (0: any free port); the ports once got are kept, because API URLs and queue URLs contain them.
    """

    def __init__(
        self,
        local_dir: Path,
        *,
        preferred_port: int = 14566,
        report: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._dir = local_dir.resolve() / "aws"
        self._preferred_port = preferred_port
        self._report = report
        self._children: list[subprocess.Popen[bytes]] = []  # kept: a dropped Popen leaves a zombie

    def start(self) -> Endpoints:
        """Adopt what runs, start what does not, return when both answer. Starts may race."""
        with self._exclusively():
            running = {name: self._adopt(name) or self._launch(name) for name in SERVERS}
            self._write("ports.json", {name: instance.port for name, instance in running.items()})
        return Endpoints(**{name: f"http://127.0.0.1:{instance.port}" for name, instance in running.items()})

    def stop(self) -> None:
        """Stop both with all their Lambda workers, and delete their temporary files; the state stays."""
        if self._dir.exists():
            with self._exclusively():
                for name in SERVERS:
                    self._stop(name)
                shutil.rmtree(self._dir / "tmp", ignore_errors=True)

    def status(self) -> dict[str, Instance | None]:
        return {name: self._instance(name) for name in SERVERS}

    def credentials(self) -> dict[str, str]:
        """The root access key of this checkout as environment variables, made on the first start."""
        return self._read("credentials.json")

    def checkpoint(self) -> None:
        """Save ministack's state now, as a clean stop would: what was made until now survives a kill."""
        instance = self._instance("ministack")
        if instance is None:
            raise EmulatorError("the embedded AWS is not running: there is nothing to save")
        url = f"http://127.0.0.1:{instance.port}{server.CHECKPOINT_PATH}"
        headers = {"Authorization": f"Bearer {self.credentials()['AWS_SECRET_ACCESS_KEY']}"}
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60).close()
        except urllib.error.HTTPError as error:
            raise EmulatorError(f"ministack could not save its state: {error.read().decode()}") from error

    def lost_state(self) -> str | None:
        """Why resources may be missing or changed since the last `state_recovered`, or None.

        A start notes that ministack was killed (what was made since its last save is gone, S3 objects are
        not), that moto ended after it was used (it keeps nothing), or that a port changed. The driver runs
        `pulumi refresh` and then calls `state_recovered`.
        """
        with suppress(FileNotFoundError):
            return (self._dir / "lost-state").read_text().rstrip()
        return None

    def state_recovered(self) -> None:
        (self._dir / "lost-state").unlink(missing_ok=True)

    # -- one server ----------------------------------------------------------------------------------------

    def _instance(self, name: str) -> Instance | None:
        """Who holds the lock of the pid file: a process writes its record within its first lines."""
        with suppress(FileNotFoundError), (self._dir / f"{name}.pid").open("rb") as pid_file:
            for _ in range(100):
                if _try_lock(pid_file.fileno()):
                    return None
                if record := pid_file.read():
                    return Instance(**json.loads(record))
                time.sleep(0.05)
            raise EmulatorError(_FOREIGN_LOCK.format(pid_file.name))
        return None

    def _adopt(self, name: str) -> Instance | None:
        """The instance that runs, once it answers; one that does not in time is stopped."""
        found = self._instance(name)
        if found is None:
            return None
        ended = False

        def answers_or_ended() -> bool:
            nonlocal ended
            ended = self._instance(name) != found
            return ended or _answers(found.port)

        if self._wait(f"{name} to answer", START_SECONDS, answers_or_ended):
            return None if ended else found
        self._report(f"{name} (process {found.pid}) runs but does not answer: starting it anew")
        self._stop(name)
        return None

    def _launch(self, name: str) -> Instance:
        with (self._dir / f"{name}.pid").open("ab+") as pid_file, self._bind(name) as listener:
            if not self._wait("the lock of the pid file", 5, lambda: _try_lock(pid_file.fileno())):
                raise EmulatorError(_FOREIGN_LOCK.format(pid_file.name))
            pid_file.seek(0)
            if killed := pid_file.read():
                self._end_workers(json.loads(killed)["pid"])
                if name == "ministack":
                    self._note_lost("ministack was killed: what was made since its last save is gone")
            if name == "moto" and (self._dir / server.MOTO_USED).exists():
                self._note_lost("moto was restarted: its SageMaker and GuardDuty resources are gone")
                (self._dir / server.MOTO_USED).unlink()
            pid_file.truncate(0)
            port = listener.getsockname()[1]
            self._report(f"starting {name} on 127.0.0.1:{port}")
            process = self._spawn(name, port, listener.fileno(), pid_file.fileno())
        self._children.append(process)
        self._wait(f"{name} to answer", START_SECONDS, lambda: process.poll() is not None or _answers(port))
        if process.poll() is not None or not _answers(port):
            process.kill()
            log = self._dir / f"{name}.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise EmulatorError(f"{name} does not start; {log} ends with:\n{tail}")
        return Instance(pid=process.pid, port=port)

    def _spawn(self, name: str, port: int, listener: int, pid_file: int) -> subprocess.Popen[bytes]:
        temporary = self._dir / "tmp" / name
        shutil.rmtree(temporary, ignore_errors=True)  # what a killed one left
        temporary.mkdir(parents=True)
        if not self.credentials():
            made = {"AWS_ACCESS_KEY_ID": f"LKIA{secrets.token_hex(8).upper()}"}
            self._write("credentials.json", made | {"AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)})
        environment = {
            "PATH": os.defpath,
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
        } | self.credentials()
        if name == "ministack":
            environment |= {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
            environment |= {"SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0"}
            environment |= {"PERSIST_STATE": "1", "STATE_DIR": str(self._dir / "state")}
            environment |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(self._dir / "s3")}
        else:
            environment |= {"MOTO_ACCOUNT_ID": "0" * 12, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        log = self._dir / f"{name}.log"
        with suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as output:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    server.__file__,
                    name,
                    f"--listener={listener}",
                    f"--pid-file={pid_file}",
                ],
                env=environment,
                cwd=self._dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(listener, pid_file),
                start_new_session=True,
                umask=0o077,
            )

    def _bind(self, name: str) -> socket.socket:
        """A listening socket on the kept port, else the preferred one, else any free one."""
        kept = int(self._read("ports.json").get(name, 0))
        wanted = kept or (self._preferred_port and self._preferred_port + SERVERS.index(name))
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            listener.bind(("127.0.0.1", 0))
            moved = f"port {wanted} is taken by another program: {name} gets {listener.getsockname()[1]}"
            self._report(moved)
            if kept:
                self._note_lost(moved)
        listener.listen(128)  # clients wait in the queue until the server accepts
        return listener

    def _stop(self, name: str) -> None:
        instance = self._instance(name)
        if instance is None:
            return
        os.kill(instance.pid, signal.SIGTERM)
        if not self._wait(f"{name} to stop", STOP_SECONDS, lambda: self._instance(name) is None):
            self._report(
                f"{name} did not stop in {STOP_SECONDS} s: killed; changes since its last save are lost"
            )
        # The process leads a group of its own: this also ends Lambda workers that are busy in a handler.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(instance.pid, signal.SIGKILL)
        self._children = [child for child in self._children if child.poll() is None]

    def _end_workers(self, killed: int) -> None:
        """End the group of a killed leader, unless its id lives again: then it is somebody else's by now.

        While a group has members, the kernel gives its id to no new process.
        """

        def gone() -> bool:
            self._children = [child for child in self._children if child.poll() is None]
            return not _lives(killed)

        if self._wait(f"process {killed} to go", 2, gone):
            with suppress(ProcessLookupError):
                os.killpg(killed, signal.SIGKILL)

    # -- waiting and files ---------------------------------------------------------------------------------

    def _wait(self, what: str, seconds: float, done: Callable[[], bool]) -> bool:
        started = told = time.monotonic()
        while not done():
            now = time.monotonic()
            if now - started > seconds:
                return False
            if now - told > 2:
                told = now
                self._report(f"waiting for {what} ({now - started:.0f} of {seconds:.0f} s)")
            time.sleep(0.05)
        return True

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One start or stop at a time in this directory; the kernel frees the lock of a killed one."""
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._dir / "lock").open("w") as lock:
            waited = self._wait("another start or stop", 2 * START_SECONDS, lambda: _try_lock(lock.fileno()))
            if not waited:
                raise EmulatorError(f"{lock.name} stayed locked by another start or stop: end that process")
            yield

    def _note_lost(self, reason: str) -> None:
        with (self._dir / "lost-state").open("a") as marker:
            marker.write(reason + "\n")

    def _read(self, file: str) -> dict[str, str]:
        with suppress(FileNotFoundError):
            return dict(json.loads((self._dir / file).read_text()))
        return {}

    def _write(self, file: str, content: dict[str, str] | dict[str, int]) -> None:
        """Atomically, readable by the owner only."""
        new = self._dir / f".{file}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            json.dump(content, opened)
        new.replace(self._dir / file)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _answers(port: int) -> bool:
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{server.HEALTH_PATH}", timeout=2).close()
        return True
    return False


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m local_aws.emulator")
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument("--dir", type=Path, default=Path(".local"))
    args = parser.parse_args(argv)
    emulator = Emulator(args.dir)
    if args.command == "start":
        emulator.start()
    elif args.command == "stop":
        emulator.stop()
    for name, instance in emulator.status().items():
        print(
            f"{name:10}"
            + (f"http://127.0.0.1:{instance.port} (process {instance.pid})" if instance else "stopped")
        )
    if lost := emulator.lost_state():
        print(f"Resources may be missing, `pulumi refresh` finds out which:\n{lost}")


if __name__ == "__main__":
    try:
        main()
    except EmulatorError as error:
        raise SystemExit(str(error)) from None
