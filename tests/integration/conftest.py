"""Exports of every environment, made once by the plan provider with the real engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from environments import loader

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def local_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans") / "local"


@pytest.fixture(scope="session", params=loader.names())
def env(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def export(env: str, local_dir: Path) -> dict[str, Any]:
    target = local_dir / f"{env}.json"
    done = subprocess.run(
        [sys.executable, "-m", "inferctl", "export", "--env", env, "--output", str(target)],
        cwd=ROOT,
        env={**os.environ, "INFERENCE_LOCAL_DIR": str(local_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded: dict[str, Any] = json.loads(target.read_text())
    return loaded


@pytest.fixture(scope="session")
def aws_resources(export: dict[str, Any]) -> list[dict[str, Any]]:
    return [resource for resource in export["deployment"]["resources"] if resource["type"].startswith("aws:")]
