"""The workflows as data, and their steps run on this machine."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github/workflows"


def jobs(workflow: str) -> Mapping[str, Any]:
    """The jobs of `<workflow>.yml`."""
    found: Mapping[str, Any] = yaml.safe_load((FOLDER / f"{workflow}.yml").read_text())["jobs"]
    return found


def commands(workflow: str, job: str) -> dict[str, str]:
    """Name -> command of the steps that run one."""
    return {step["name"]: step["run"] for step in jobs(workflow)[job]["steps"] if "run" in step}


def run(command: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A step's command as GitHub runs it: https://docs.github.com/actions/reference/workflows-and-actions
    (bash without a profile, which stops at the first error)."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
