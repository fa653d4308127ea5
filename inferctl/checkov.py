"""What checkov says of a deployment. It reads the plan that `inferctl.terraform_plan` writes, and no network.

checkov's dependencies conflict with the platform's, so uv keeps it in an environment of its own, made on
first use.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inferctl.errors import CommandFailed
from inferctl.iam_linters import Remark
from inferctl.terraform_plan import address, terraform_plan

VERSION = "3.3.30"


def write(export: Mapping[str, Any], folder: Path) -> None:
    """The deployment as files that checkov reads: a Terraform plan, and the Kubernetes objects."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(terraform_plan(export), indent=1), encoding="utf-8")
    objects = [
        {name: value for name, value in each["inputs"].items() if not name.startswith("__")}
        for each in export["deployment"].get("resources", [])
        if each["type"].startswith("kubernetes:") and "kind" in each.get("inputs", {})
    ]
    (folder / "objects.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1), encoding="utf-8"
    )


def command(folder: Path) -> Sequence[str | Path]:
    """What runs checkov over such a folder; its answer is JSON on stdout."""
    uv = Path(sys.executable).with_name("uv")
    return [
        *(
            uv,
            "tool",
            "run",
            "--quiet",
            "--python",
            sys.executable,
            "--from",
            f"checkov=={VERSION}",
            "checkov",
        ),
        *("--directory", folder, "--framework", "terraform_plan", "kubernetes"),
        *("--skip-download", "--compact", "--quiet", "--soft-fail", "--output", "json"),
    ]


def remarks(export: Mapping[str, Any], folder: Path) -> list[Remark]:
    """Everything that it finds wrong.

    Raises:
        CommandFailed: it cannot be installed, or does not run.
    """
    write(export, folder)
    # It honours what an apply would compute only when told so.
    environment = {**os.environ, "EVAL_TF_PLAN_AFTER_UNKNOWN": "1", "LOG_LEVEL": "ERROR"}
    done = subprocess.run(command(folder), env=environment, capture_output=True, text=True, check=False)
    try:
        reports = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise CommandFailed(
            f"checkov did not run: {' '.join(said)}", "see that the package registry is reachable"
        ) from None
    return list(read(reports, export))


def read(reports: Any, export: Mapping[str, Any]) -> Iterator[Remark]:
    """One report, or one for each framework."""
    names = {
        address(each): each["urn"].rpartition("::")[2]
        for each in export["deployment"].get("resources", [])
        if each["type"].startswith("aws:")
    }
    for report in reports if isinstance(reports, list) else [reports]:
        results = report.get("results", {})  # there are none where it found no file
        if results.get("parsing_errors"):
            raise CommandFailed(
                f"checkov could not read {results['parsing_errors']}", "report it as a defect"
            )
        for found in results.get("failed_checks", []):
            resource = names.get(found["resource"], found["resource"])
            yield Remark("checkov", found["check_id"], resource, found["check_name"])
