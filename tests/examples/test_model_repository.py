"""The example's own steps, as its workflow file has them: train, evaluate, and what `publish` is given."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from serving.publication import _read_folder

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples/model-repository/model.yml"


def steps() -> dict[str, str]:
    """Name of a step -> its command."""
    workflow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    found = workflow["jobs"]["deliver"]["steps"]
    return {step["name"]: step["run"] for step in found if "run" in step}


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A step as the workflow runs it, with version v7 of digits in a folder, and other variables."""
    environment = {**os.environ, "FOLDER": str(folder), "VERSION": "v7", "MODEL": "digits", **variables}
    return subprocess.run(
        ["bash", "-ec", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_what_the_example_trains_and_evaluates_can_be_published(tmp_path: Path) -> None:
    """That it is published, and goes live, is shown where there is a platform."""
    commands = steps()
    assert list(commands) == ["set up", "train", "evaluate", "publish"]
    for name in ("train", "evaluate"):
        done = run(commands[name], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    manifest, _, _ = _read_folder(tmp_path)
    assert (manifest.name, manifest.version) == ("digits", "v7")
    worse = run(commands["evaluate"].replace("0.95", "0.999"), tmp_path)
    assert worse.returncode == 1
    assert "not published" in worse.stderr
