"""Changes that must not pass, made in a copy of the program and judged by the real engine with no account."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "components",
    "composition",
    "cost",
    "environments",
    "inferctl",
    "local_aws",
    "naming",
    "policies",
    "serving",
    "toolchain",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the program, to be edited."""
    root = tmp_path / "checkout"
    for part in PARTS:
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__main__.py", "Pulumi.yaml", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, root / file)
    (root / ".venv").symlink_to(Path(sys.prefix))
    return root


def plan(root: Path, env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inferctl", "plan", "--env", env],
        cwd=root,
        env={**os.environ, "INFERENCE_LOCAL_DIR": str(root / ".local")},
        capture_output=True,
        text=True,
        check=False,
    )


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {path}"
    path.write_text(text.replace(before, after))


def test_a_violating_change_is_refused_with_rule_reason_and_fix(checkout: Path) -> None:
    edit(checkout / "components/bucket.py", "block_public_policy=True", "block_public_policy=False")
    done = plan(checkout, "dev")
    assert done.returncode == 3, "refused, not broken"
    assert "s3-public-access-block" in done.stderr
    assert "blockPublicPolicy" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_setting_stops_before_the_engine_starts(checkout: Path) -> None:
    edit(checkout / "environments/Pulumi.prod.yaml", "nat: one_per_az", "nats: one_per_az")
    done = plan(checkout, "prod")
    assert done.returncode == 4
    assert "environments/Pulumi.prod.yaml: network.nats: unknown key" in done.stderr
    assert not (checkout / ".local/plan").exists()


def test_a_typo_in_a_resource_is_named_as_aws_would(checkout: Path) -> None:
    edit(checkout / "components/keys.py", "enable_key_rotation=True", "enable_key_rotation='perhaps'")
    done = plan(checkout, "dev")
    assert done.returncode == 1
    # Whichever of the keys the engine checks first.
    assert re.search(r"keys-(data|logs|secrets)\b", done.stderr), done.stderr
    assert "enableKeyRotation" in done.stderr


def test_stateful_resources_of_prod_cannot_be_destroyed(checkout: Path) -> None:
    """Destroy, on the scratch state that a plan leaves: the engine refuses and names what is protected."""
    assert plan(checkout, "prod").returncode == 0
    code = (
        "from inferctl.session import environment, open_session\n"
        "from inferctl.workspace import Workspace\n"
        "from toolchain.progress import Progress\n"
        "session = open_session(environment('prod'), 'plan', Workspace.here())\n"
        "with Progress() as progress, progress.step('destroy') as step:\n"
        "    outcome = session.engine.destroy(step)\n"
        "print('\\n'.join(outcome.errors))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env={**os.environ, "INFERENCE_LOCAL_DIR": str(checkout / ".local")},
        capture_output=True,
        text=True,
        check=True,
    )
    for protected in ("storage-models-bucket", "storage-data-bucket", "identity-pool"):
        assert protected in done.stdout, done.stdout
    assert "protect" in done.stdout
