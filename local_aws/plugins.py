"""Where the engine finds the local plug-ins: launchers in the plug-in folder of a private PULUMI_HOME."""

import os
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local_aws.tables import PLANNED, TABLES

PACKAGES = {"aws": "pulumi-aws", "eks": "pulumi-eks", "kubernetes": "pulumi-kubernetes"}
"""Plug-in -> the SDK package; the engine asks for the plug-in in the SDK's version."""


def install_plugins(pulumi_home: Path, python: str) -> None:
    """Writes `plugins/resource-<name>-v<version>/pulumi-resource-<name>` for each plug-in.

    `python` is the interpreter of the environment that holds the SDKs. Safe to repeat and to interrupt: each
    file is whole or absent.
    """
    repository = Path(__file__).resolve().parents[1]
    for name, package in PACKAGES.items():
        folder = pulumi_home / "plugins" / f"resource-{name}-v{version(package)}"
        folder.mkdir(parents=True, exist_ok=True)
        launcher = (
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(repository))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
            "export PYTHONPATH\n"
            # exec: the plug-in must be the engine's own child, whose end it watches for.
            f'exec {shlex.quote(python)} -m local_aws.{name}_plugin "$@"\n'
        )
        part = folder / f".pulumi-resource-{name}.{os.getpid()}"
        part.write_text(launcher, encoding="utf-8")
        part.chmod(0o755)
        part.replace(folder / f"pulumi-resource-{name}")


def planned_only(export: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(type, URN, reason) of the resources of a `pulumi stack export` that the embedded AWS does not hold."""
    resources = export["deployment"].get("resources") or ()
    return [
        (entry["type"], entry["urn"], PLANNED.get(entry["type"], "the embedded AWS has no table for it"))
        for entry in resources
        if entry["type"].startswith("aws:") and entry.get("custom") and entry["type"] not in TABLES
    ]
