"""Every environment, brought up by the plan provider with the real engine: complete, tagged, as reviewed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from environments import loader
from inferctl import baseline

pytestmark = pytest.mark.integration
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


def aws_resources(export: dict[str, Any]) -> list[dict[str, Any]]:
    return [resource for resource in export["deployment"]["resources"] if resource["type"].startswith("aws:")]


def test_the_plan_is_the_reviewed_one(env: str, export: dict[str, Any]) -> None:
    changes = baseline.difference(baseline.read(env), baseline.render(export))
    assert not changes, f"run `make baseline`, review and commit:\n{chr(10).join(changes.lines())}"


def test_every_resource_belongs_to_a_component(export: dict[str, Any]) -> None:
    stack = next(r["urn"] for r in export["deployment"]["resources"] if r["type"] == "pulumi:pulumi:Stack")
    assert aws_resources(export)
    assert [r["urn"] for r in aws_resources(export) if r.get("parent", stack) == stack] == []


def test_every_taggable_resource_says_who_owns_and_pays(env: str, export: dict[str, Any]) -> None:
    settings = loader.from_file(env)
    wanted = {
        "platform": "inference-platform",
        "environment": env,
        "owner": settings.owner,
        "cost-center": settings.cost_center,
    }
    tagged = [resource for resource in aws_resources(export) if "tagsAll" in resource["outputs"]]
    assert len(tagged) >= 10
    for resource in tagged:
        tags = resource["inputs"].get("tags") or {}
        assert tags | wanted == tags, f"{resource['urn']}: {tags}"
        assert tags.get("component"), resource["urn"]


def test_no_secret_is_in_clear_text(export: dict[str, Any]) -> None:
    """Keys and client secrets are ciphertext; the parameters that hold them too."""
    secret = {
        "aws:apigateway/apiKey:ApiKey": ("outputs", "value"),
        "aws:ssm/parameter:Parameter": ("inputs", "value"),
    }
    seen = 0
    for resource in aws_resources(export):
        if place := secret.get(resource["type"]):
            value = resource[place[0]][place[1]]
            assert "ciphertext" in value, resource["urn"]
            seen += 1
    assert seen >= 2
