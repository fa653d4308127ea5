"""The embedded AWS as managed processes: ministack, and moto's server for SageMaker and GuardDuty.

    python -m local_aws.emulator {start,stop,status} [--dir .local]

Both listen on 127.0.0.1 only and keep all they write under `<dir>/aws/`. They get an environment of their own
and none of the user's, since every Lambda function inherits it, and a root access key made for this checkout.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local_aws import emulator_server, ports
from local_aws.emulator_process import (
    START_SECONDS,
    EmulatorError,
    Instance,
    Server,
    try_lock,
    wait,
)

__all__ = ["Emulator", "EmulatorError", "Endpoints", "Instance"]
SERVERS = ("ministack", "moto")


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Base URLs, without a slash at the end."""

    ministack: str
    moto: str


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
        self._servers = {name: Server(name, self._dir, report, self._note_lost) for name in SERVERS}

    def start(self) -> Endpoints:
        """Adopt what runs, start what does not, return when both answer. Starts may race."""
        with self._exclusively():
            running = {name: server.adopt() or self._launch(server) for name, server in self._servers.items()}
            self._write("ports.json", {name: instance.port for name, instance in running.items()})
        return Endpoints(**{name: f"http://127.0.0.1:{instance.port}" for name, instance in running.items()})

    def stop(self) -> None:
        """Stop both with all their Lambda workers, and delete their temporary files; the state stays."""
        if self._dir.exists():
            with self._exclusively():
                for server in self._servers.values():
                    server.stop()
                shutil.rmtree(self._dir / "tmp", ignore_errors=True)

    def status(self) -> dict[str, Instance | None]:
        return {name: server.instance() for name, server in self._servers.items()}

    def credentials(self) -> dict[str, str]:
        """The root access key of this checkout as environment variables, made on the first start."""
        return self._read("credentials.json")

    def checkpoint(self) -> None:
        """Save ministack's state now, as a clean stop would: what was made until now survives a kill."""
        secret = self.credentials().get("AWS_SECRET_ACCESS_KEY")
        headers = {"Authorization": f"Bearer {secret}"}
        status, answer = self._servers["ministack"].get(emulator_server.CHECKPOINT_PATH, headers)
        if status != 200:
            raise EmulatorError(f"ministack could not save its state: {answer}")

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

    def _launch(self, server: Server) -> Instance:
        kept = int(self._read("ports.json").get(server.name, 0))
        preferred = self._preferred_port and self._preferred_port + SERVERS.index(server.name)
        if not self.credentials():
            made = {"AWS_ACCESS_KEY_ID": f"LKIA{secrets.token_hex(8).upper()}"}
            self._write("credentials.json", made | {"AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)})
        runtime, traces = (ports.port_of(self._dir, each) for each in (ports.SAGEMAKER_RUNTIME, ports.TRACES))
        settings = {
            "ministack": {
                "AUTH": "true",
                # Functions inherit them: they ask endpoints there (`local_aws.sagemaker_runtime`), and trace.
                "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{runtime}",
                "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{traces}",
                "BIND_HOST": "127.0.0.1",
                "IOT_MTLS_ENABLED": "0",
                "PERSIST_STATE": "1",
                "S3_DATA_DIR": str(self._dir / "s3"),
                "S3_PERSIST": "1",
                "SFTP_ENABLED": "0",
                "STATE_DIR": str(self._dir / "state"),
            },
            "moto": {"MOTO_ACCOUNT_ID": "0" * 12, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        }[server.name]
        environment = {"PATH": os.defpath} | self.credentials() | settings
        return server.launch(kept or preferred, kept=kept > 0, environment=environment)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One start or stop at a time in this directory."""
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._dir / "lock").open("w") as lock:
            free = wait(
                "another start or stop", 2 * START_SECONDS, lambda: try_lock(lock.fileno()), self._report
            )
            if not free:
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
        state = f"http://127.0.0.1:{instance.port} (process {instance.pid})" if instance else "stopped"
        print(f"{name:10}{state}")
    if lost := emulator.lost_state():
        print(f"Resources may be missing, `pulumi refresh` finds out which:\n{lost}")


if __name__ == "__main__":
    try:
        main()
    except EmulatorError as error:
        raise SystemExit(str(error)) from None
