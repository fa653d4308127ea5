"""One whole local platform for all end-to-end tests, brought up and taken down as a user would."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferctl.client import Client
from inferctl.session import Session, deployed

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def local_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def first_up(inferctl: Run) -> Iterator[subprocess.CompletedProcess[str]]:
    """The first `up`, from nothing; the last `down` must leave nothing."""
    done = inferctl("up")
    yield done
    inferctl("down")


@pytest.fixture(scope="session")
def session(first_up: object, local_dir: Path) -> Session:
    os.environ["INFERENCE_LOCAL_DIR"] = str(local_dir)
    return deployed("local")


@pytest.fixture(scope="session")
def client(session: Session) -> Client:
    return session.client()
