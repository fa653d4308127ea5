"""The commands by which CI deploys and watches an environment, on the local platform."""

from pathlib import Path

import pytest

from inferctl.app import app
from inferctl.session import Session
from tests.ci.workflows import ROOT, commands, run

STEPS = [
    *(
        (name, command)
        for name, command in commands("deploy-environment", "deploy").items()
        if name != "Set up"
    ),
    *((name, command) for name, command in commands("drift", "drift").items() if name != "Set up"),
]


@pytest.mark.parametrize(("name", "command"), STEPS, ids=[name for name, _ in STEPS])
def test_a_step_works(name: str, command: str, session: Session, local_dir: Path) -> None:
    """`ENV` names the environment, as in the workflow."""
    called = command.split()[1]
    if called not in {
        each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands
    }:
        pytest.skip(f"inferctl has no command {called} in this checkout")
    done = run(command, ROOT, {"ENV": "local", "INFERENCE_LOCAL_DIR": str(local_dir)})
    assert done.returncode == 0, done.stdout + done.stderr
