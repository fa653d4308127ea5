"""The workflows: clean by their linters, no rights that they do not need, and steps that work.

The steps that plan are run by tests/integration/test_pull_request_report.py, those that deploy by
tests/e2e/test_deploy_steps.py.
"""

import base64
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import loader
from tests.ci.workflows import FOLDER, ROOT, commands, jobs, run

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.yml"))


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run([zizmor, "--offline", FOLDER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("actionlint is a Go module, and there is no Go here")
    got = subprocess.run([go, "run", ACTIONLINT, "-version"], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"{ACTIONLINT} is out of reach: {got.stderr.strip()[-200:]}")
    files = [FOLDER / f"{name}.yml" for name in WORKFLOWS]
    done = subprocess.run([go, "run", ACTIONLINT, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_job_states_its_rights_and_only_deployments_get_a_token_of_the_cloud(workflow: str) -> None:
    for name, job in jobs(workflow).items():
        rights = job["permissions"]
        assert rights.get("contents", "read") == "read", name
        assert ("id-token" in rights) == workflow.startswith(("deploy", "drift")), name


def test_the_job_that_runs_a_change_may_write_nothing_and_knows_no_account() -> None:
    plan = jobs("plan")["plan"]
    assert plan["permissions"] == {"contents": "read"}
    assert "secrets" not in json.dumps(plan) and "aws-actions" not in json.dumps(plan)
    assert set(plan["strategy"]["matrix"]["environment"]) == set(loader.names()) - {"local"}
    assert set(jobs("deploy")) == set(loader.names()) - {"local"}


@pytest.fixture
def github(tmp_path: Path) -> Path:
    """A folder with the reports of three environments, and a `gh` that notes how it is called."""
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin/gh"
    gh.write_text(
        '#!/bin/sh\nprintf "%s " "$@" >> calls.txt\necho >> calls.txt\ncp sarif.txt sent.txt || true\n'
    )
    gh.chmod(0o755)
    (tmp_path / "reports").mkdir()
    for name in ("dev", "stage", "prod"):
        (tmp_path / f"reports/{name}.md").write_text(f"### {name}: passed\n")
        (tmp_path / f"reports/{name}.sarif").write_text(json.dumps({"version": "2.1.0", "of": name}))
    return tmp_path


def test_the_comment_is_one_and_is_replaced(github: Path) -> None:
    path = f"{github}/bin:/usr/bin:/bin"
    done = run(commands("plan", "report")["Comment"], github, {"PATH": path, "PULL_REQUEST": "7"})
    assert done.returncode == 0, done.stderr
    assert (github / "comment.md").read_text() == "### dev: passed\n### stage: passed\n### prod: passed\n"
    call = (github / "calls.txt").read_text()
    assert call == "pr comment 7 --edit-last --create-if-none --body-file comment.md \n"


def test_every_sarif_report_is_sent_packed(github: Path) -> None:
    env = {
        "PATH": f"{github}/bin:/usr/bin:/bin",
        "GH_REPO": "acme/platform",
        "GITHUB_SHA": "c0ffee",
        "GITHUB_REF": "refs/pull/7/merge",
    }
    done = run(commands("plan", "report")["Code scanning"], github, env)
    assert done.returncode == 0, done.stderr
    calls = (github / "calls.txt").read_text().splitlines()
    assert len(calls) == 3
    assert all("repos/acme/platform/code-scanning/sarifs" in call and "c0ffee" in call for call in calls)
    sent = json.loads(gzip.decompress(base64.b64decode((github / "sent.txt").read_text())))
    assert sent == {"version": "2.1.0", "of": "stage"}  # the last in the alphabet


@pytest.mark.parametrize(
    ("workflow", "job"),
    [("plan", "plan"), ("deploy-environment", "deploy"), ("drift", "drift"), ("ci", "test")],
)
def test_setting_up_works(workflow: str, job: str) -> None:
    """`.ci/run` is what runs these tests, and does its own set-up."""
    steps = commands(workflow, job)
    if workflow == "ci":
        assert list(steps.values()) == [".ci/run"] and (ROOT / ".ci/run").exists()
        return
    assert steps["Set up"] == "make setup"
    if workflow == "plan":
        done = run(steps["Set up"], ROOT, {})
        assert done.returncode == 0, done.stderr
