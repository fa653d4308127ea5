"""A judged plan as a file: JSON, SARIF, JUnit or Markdown, by the file's suffix."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inferctl import money, pull_request
from inferctl.errors import CommandFailed
from inferctl.findings import PolicyFinding
from inferctl.judged import Judged
from policies.rules import RULES, SUBJECTS

_LEVELS = {True: "error", False: "warning"}


def as_json(plan: Judged) -> str:
    """Everything, for programs."""
    changes = plan.changes
    return json.dumps(
        {
            "environment": plan.name,
            "verdict": "refused" if plan.refusals else "passed",
            "changes": {"added": changes.added, "removed": changes.removed, "changed": changes.changed},
            "violations": [asdict(finding) for finding in plan.refusals],
            "advisories": [asdict(finding) for finding in plan.advisories],
            "cost": {
                "cap_usd": plan.cap,
                "change_usd": plan.change and {"idle": plan.change.idle, "load": plan.change.load},
                **money.as_data(plan.cost),
            },
        },
        indent=1,
    )


def as_sarif(plan: Judged) -> str:
    """SARIF 2.1.0, as GitHub's code scanning takes it.

    A resource has no line of its own in the program, so that each result stands at the top of the
    environment's file; its URN is the logical location.
    """
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why},
            "help": {"text": rule.fix},
            "defaultConfiguration": {"level": _LEVELS[plan.rules[rule.id].level == "mandatory"]},
            "properties": {"tags": [rule.severity]},
        }
        for rule in RULES
    ]
    run = {
        "tool": {"driver": {"name": "inference-platform-policies", "rules": rules}},
        "automationDetails": {"id": f"policies/{plan.name}"},
        "results": [_sarif_result(plan, finding) for finding in (*plan.refusals, *plan.advisories)],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1)


def _sarif_result(plan: Judged, finding: PolicyFinding) -> Mapping[str, Any]:
    text = f"{finding.resource}: {finding.what}" + (f"\nfix: {finding.fix}" if finding.fix else "")
    return {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.refuses],
        "message": {"text": text},
        "partialFingerprints": {"resource": f"{finding.rule}/{finding.urn}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": f"environments/Pulumi.{plan.name}.yaml"},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.urn, "kind": "resource"}],
            }
        ],
    }


def as_junit(plan: Judged) -> str:
    """A test case for each rule: refused is a failure, off is skipped, advice is output."""
    suite = ET.Element("testsuite", name=f"policies {plan.name}")
    failed = skipped = 0
    for subject in SUBJECTS:
        for rule in subject.RULES:
            group = f"policies.{subject.__name__.rpartition('.')[2]}"
            case = ET.SubElement(suite, "testcase", classname=group, name=rule.id)
            if plan.rules[rule.id].level == "disabled":
                ET.SubElement(case, "skipped", message="off in this environment")
                skipped += 1
            if found := [finding for finding in plan.refusals if finding.rule == rule.id]:
                ET.SubElement(case, "failure", message=rule.title).text = _text(found)
                failed += 1
            if advice := [finding for finding in plan.advisories if finding.rule == rule.id]:
                ET.SubElement(case, "system-out").text = _text(advice)
    suite.attrib |= {"tests": str(len(RULES)), "failures": str(failed), "skipped": str(skipped)}
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _text(findings: list[PolicyFinding]) -> str:
    blocks = [f"{each.resource}: {each.what}\nwhy: {each.why}\nfix: {each.fix}" for each in findings]
    return "".join(char for char in "\n\n".join(blocks) if char in "\n\t" or char >= " ")


FORMATS: Mapping[str, Callable[[Judged], str]] = {
    ".json": as_json,
    ".sarif": as_sarif,
    ".xml": as_junit,
    ".md": pull_request.as_markdown,
}


def check(files: list[Path]) -> None:
    """Raises `CommandFailed` before a plan is made for a file that no format fits."""
    for file in files:
        if file.suffix not in FORMATS:
            raise CommandFailed(
                f"--report {file}: there is no format {file.suffix or 'without a suffix'}",
                f"end the file's name with one of {', '.join(FORMATS)}",
            )


def write(plan: Judged, files: list[Path]) -> None:
    """Write each file in the format of its suffix."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FORMATS[file.suffix](plan).rstrip("\n") + "\n", encoding="utf-8")
