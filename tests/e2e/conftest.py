"""One whole local platform for all end-to-end tests, brought up and taken down as a user would.

`E2E_PLATFORM=.local` runs them on a platform that is up already and leaves it up, for work on one test.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferctl.client import Client
from inferctl.deliveries import Deliveries
from inferctl.session import Session, deployed

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_of(folder: Path) -> list[str]:
    """Commands of running processes that were told about a folder, by argument or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it ended, or belongs to somebody else
            continue
        if str(folder).encode() in said and process.name != str(os.getpid()):
            found.append(said.split(b"\0\0")[0].replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture(scope="session")
def local_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if up := os.environ.get("E2E_PLATFORM"):
        return Path(up).resolve()
    return tmp_path_factory.mktemp("platform") / "local"


@pytest.fixture(scope="session")
def inferctl(local_dir: Path) -> Run:
    """Runs the real command line on a platform of the tests' own."""

    def run(*args: str, check: bool = True, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "inferctl", *args],
            cwd=root,
            env={**os.environ, "INFERENCE_LOCAL_DIR": str(local_dir)},
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"inferctl {args}:\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def first_up(inferctl: Run, local_dir: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """The first `up`, from nothing; `down` at the end must leave nothing."""
    if "E2E_PLATFORM" in os.environ:
        yield inferctl("up")
        return
    try:
        done = inferctl("up")
        ports = [int(port) for port in json.loads((local_dir / "aws/ports.json").read_text()).values()]
        assert all(listens(port) for port in ports)
        yield done
    finally:
        ended_before = not (local_dir / "aws").exists()  # and checked, by the test that destroys it
        inferctl("down")
    # Ports that were free for a while may be another platform's by now.
    assert ended_before or not [port for port in ports if listens(port)]
    assert processes_of(local_dir) == []
    assert {path.name for path in local_dir.iterdir()} <= {
        "bin",
        "packages",
        "passphrase",
        "plan",
        "pulumi-home",
    }


@pytest.fixture(scope="session")
def session(first_up: object, local_dir: Path) -> Session:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFERENCE_LOCAL_DIR", str(local_dir))
        return deployed("local")


@pytest.fixture(scope="session")
def client(session: Session) -> Client:
    return session.client()


@pytest.fixture
def back_to_v1(client: Client) -> Iterator[None]:
    """Afterwards digits is at the version that it began with."""
    yield
    deliveries = Deliveries(client)
    if deliveries.live("digits") != "v1":
        deliveries.follow("digits", deliveries.start("digits", "v1", "roll_back", "end of the test"))
