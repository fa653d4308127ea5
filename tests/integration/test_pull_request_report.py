"""The comment that a reviewer gets: docs/examples/ has one, made by the real engine.

`make examples` writes it anew.
"""

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.ci.workflows import commands, run
from tests.integration.test_refused_changes import checkout

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/examples/p5-node-pool-in-dev.md"

# The change of the example, at the end of the program.
P5_POOL = """
from components.node_pools import NodePools, NodePoolsArgs

training = NodePoolsArgs(
    **base.site,
    cluster_name=base.names.prefix,
    security_group_id="sg-0123456789abcdef0",
    instance_profile="gpu-nodes",
    volumes_key_arn=base.keys.data_arn,
    instance_types=["p5.48xlarge"],
    gpus=8,
)
NodePools("training", training, base.opts)
"""

__all__ = ["checkout"]


@pytest.fixture
def reports(checkout: Path) -> Path:
    """The reports of dev with a p5 node pool, made by the steps of the workflow."""
    program = checkout / "__main__.py"
    program.write_text(program.read_text() + P5_POOL)
    (checkout / "environments/baseline").mkdir(exist_ok=True)
    shutil.copytree(ROOT / "bin", checkout / "bin")
    summary = checkout / "summary.md"
    env = {"ENV": "dev", "INFERENCE_LOCAL_DIR": str(checkout / ".local"), "GITHUB_STEP_SUMMARY": str(summary)}
    steps = commands("plan", "plan")
    planned = run(steps["Plan"], checkout, env)
    assert planned.returncode == 3, planned.stdout + planned.stderr
    assert "the policies refuse this change" in planned.stderr
    assert run(steps["Summary"], checkout, env).returncode == 0
    assert summary.read_text() == (checkout / "reports/dev.md").read_text()
    return checkout / "reports"


def test_a_p5_node_pool_in_dev_is_refused_with_reason_cost_and_fix(reports: Path) -> None:
    comment = (reports / "dev.md").read_text()
    if os.environ.get("REFRESH_EXAMPLES"):
        EXAMPLE.parent.mkdir(exist_ok=True)
        EXAMPLE.write_text(comment)
    first, *_ = comment.splitlines()
    assert first == "### dev: refused"
    # One node of eight GPUs, the pool's limit, and its volumes: 55.04 x 730 hours, 104 GiB of gp3 at 0.08,
    # 3000 IOPS more at 0.005 and 375 MiB/s more at 0.04.
    assert "$40,217.52 training/training-gpu: take p5.48xlarge out of the pool" in comment
    assert "the cap is $500.00" in comment
    assert "`gpu-instance-allow-list` | `training-gpu`" in comment
    assert comment == EXAMPLE.read_text(), "run `make examples`, review and commit"

    verdict = json.loads((reports / "dev.json").read_text())
    assert verdict["verdict"] == "refused"
    refused = {finding["rule"] for finding in verdict["violations"]}
    assert {"estimated-monthly-cost-cap", "gpu-instance-allow-list"} <= refused
    assert verdict["cost"]["components"]["training"]["load_usd"] == pytest.approx(40_217.52, abs=0.01)

    sarif = json.loads((reports / "dev.sarif").read_text())["runs"][0]
    known = {rule["id"] for rule in sarif["tool"]["driver"]["rules"]}
    errors = {result["ruleId"] for result in sarif["results"] if result["level"] == "error"}
    assert errors == refused
    assert {result["ruleId"] for result in sarif["results"]} <= known

    suite = ET.fromstring((reports / "dev.xml").read_text())
    failed = {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert failed == refused
    assert suite.get("failures") == str(len(refused))
