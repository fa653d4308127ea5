"""Reports of a plan: what each says, and that no name breaks out of its cell."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from environments import loader
from inferctl import costs, pull_request, reports
from inferctl.errors import CommandFailed, Refused
from inferctl.findings import PolicyFinding
from inferctl.judged import Judged, judged
from inferctl.outcome import Outcome
from tests.cost.deployments import component, resource

NAT = resource("aws:ec2/natGateway:NatGateway", "nat-a", of="network")
URN = NAT["urn"]


def event(message: str, level: str = "mandatory", rule: str = "nat-gateway-count") -> dict[str, Any]:
    return {
        "resourceUrn": URN,
        "message": message,
        "policyName": rule,
        "enforcementLevel": level,
        "severity": "medium",
    }


REFUSAL = event("One gateway is enough\nnat-a: there are 2\nwhy: They cost.\nfix: take one out\n")
ADVICE = event("One gateway is enough\nnat-a: `count` is not known yet; undecided until up\n", "advisory")


def plan(*events: dict[str, Any]) -> Judged:
    findings = [PolicyFinding.of(each) for each in events]
    outcome = Outcome(findings=findings, violations=[each.what for each in findings if each.refuses])
    export = {"deployment": {"resources": [component("network"), {**NAT, "custom": True}]}}
    return judged(loader.from_file("dev"), outcome, export)


def test_a_finding_has_parts() -> None:
    finding = PolicyFinding.of(REFUSAL)
    assert (finding.what, finding.why, finding.fix) == ("there are 2", "They cost.", "take one out")
    undecided = PolicyFinding.of(ADVICE)
    assert undecided.what == "`count` is not known yet; undecided until up"
    assert (undecided.why, undecided.fix, undecided.refuses) == ("", "", False)


def test_a_refused_plan_says_so_in_every_format() -> None:
    found = plan(REFUSAL, REFUSAL, ADVICE)
    with pytest.raises(Refused):
        found.require()
    comment = pull_request.as_markdown(found)
    assert comment.startswith("### dev: refused\n\n**1 rule refused it**")
    assert "| `nat-gateway-count` | `nat-a` | there are 2 | take one out |" in comment
    assert "<details><summary>1 advisory</summary>" in comment
    data = json.loads(reports.as_json(found))
    assert data["verdict"] == "refused"
    assert len(data["violations"]) == 1, "the same finding of two runs is one"
    assert data["cost"]["components"]["network"]["idle_usd"] == 32.85
    assert data["cost"]["cap_usd"] == 500
    levels = [result["level"] for result in json.loads(reports.as_sarif(found))["runs"][0]["results"]]
    assert levels == ["error", "warning"]
    suite = ET.fromstring(reports.as_junit(found))
    assert (suite.get("failures"), len(suite.findall("testcase"))) == ("1", int(suite.get("tests", "0")))
    assert suite.findall(".//system-out")[0].text


def test_a_plan_that_passes_is_short() -> None:
    found = plan()
    found.require()
    comment = pull_request.as_markdown(found)
    assert comment.startswith("### dev: passed\n\nno refusal")
    assert "| rule |" not in comment
    assert json.loads(reports.as_sarif(found))["runs"][0]["results"] == []


def test_no_name_breaks_out_of_a_comment() -> None:
    evil = event("Title\nnat-a: <img src=x> | @everyone `code`\nmore\nwhy: w\nfix: <b>f</b>\n")
    comment = pull_request.as_markdown(plan(evil))
    (row,) = [line for line in comment.splitlines() if "nat-gateway-count" in line]
    assert "<img" not in comment and "<b>" not in comment and "@everyone" not in comment
    assert "&lt;img src=x&gt; \\| &#64;everyone 'code'<br>more" in row


def test_a_file_of_no_format_is_refused_before_anything_is_planned() -> None:
    with pytest.raises(CommandFailed, match=r"there is no format \.pdf"):
        reports.check([Path("plan.md"), Path("plan.pdf")])


def test_the_arithmetic_of_a_resource_is_shown() -> None:
    shown = "\n".join(costs.explained(plan().cost, "nat-a"))
    assert "idle:    730 hour x $0.045 = $32.85" in shown
    assert "at load: 20 GB x $0.045 = $0.90" in shown
    assert "Infracost golden tests" in shown
    assert "together: $32.85 idle, $33.75 at load" in shown
    with pytest.raises(CommandFailed) as failed:
        costs.explained(plan().cost, "no-such")
    assert "network/nat-a" in failed.value.next_step
