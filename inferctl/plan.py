"""`plan` and `export`: an environment judged and written down with no account."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inferctl import baseline
from inferctl.session import Session, environment, open_session
from inferctl.up import build_packages, require
from inferctl.workspace import Workspace
from toolchain.progress import Progress


def plan(name: str, console: Console) -> None:
    """Preview an environment from nothing through the plan provider, with all policies.

    Raises:
        CommandFailed: a setting is wrong, a policy refuses, or the program fails.
    """
    with Progress() as progress:
        session = _scratch(name, progress)
        with progress.step("plan") as step:
            outcome = session.engine.up(step)
            step.result = outcome.summary()
            require(outcome)
    exported = session.engine.export()
    show_resources(exported, console)
    _show_changes(name, exported, console)
    for advisory in dict.fromkeys(outcome.advisories):
        console.print(f"advisory: {advisory}", highlight=False, markup=False, soft_wrap=True)


def _show_changes(name: str, exported: Mapping[str, Any], console: Console, most: int = 20) -> None:
    """What differs from the reviewed baseline, the first `most` of it in full."""
    reviewed = baseline.read(name)
    if not reviewed:
        console.print(f"{name} has no baseline yet: `make baseline` writes it")
        return
    lines = baseline.difference(reviewed, baseline.render(exported)).lines()
    console.print(f"against environments/baseline/{name}.txt: {len(lines) or 'no'} differences")
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    for line in lines[:most] + more:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def export(name: str, output: Path | None) -> Path:
    """Write the deployment of an environment, as `pulumi stack export` would give it."""
    target = output or Workspace.here().local / "export" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(deployment(name), indent=1), encoding="utf-8")
    return target


def refresh_baseline(name: str) -> baseline.Difference:
    """Write the baseline anew; returns what changed in it."""
    before = baseline.read(name)
    baseline.write(name, deployment(name))
    return baseline.difference(before, baseline.read(name))


def deployment(name: str) -> dict[str, Any]:
    """An environment, brought up by the plan provider in a scratch backend, as it would be exported."""
    with Progress() as progress:
        session = _scratch(name, progress)
        with progress.step("export") as step:
            require(session.engine.up(step))
    return session.engine.export()


def _scratch(name: str, progress: Progress) -> Session:
    """A plan session with an empty scratch backend."""
    env, workspace = environment(name), Workspace.here()
    with progress.step("packages") as step:
        step.result = build_packages(env, workspace)
    workspace.forget(name, "plan")
    return open_session(env, "plan", workspace)


def resources(export: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(component, type) of every cloud resource in a deployment; the component is the outermost one."""
    for resource in export["deployment"].get("resources", []):
        if not resource.get("custom") or resource["type"].startswith("pulumi:"):
            continue
        chain = resource["urn"].split("::")[2].split("$")
        yield (chain[0].rsplit(":", 1)[-1] if len(chain) > 1 else "(none)"), resource["type"]


def show_resources(export: Mapping[str, Any], console: Console) -> None:
    """How many resources of which type each component has."""
    table = Table("component", "type", "count", box=None, pad_edge=False)
    counted = Counter(resources(export))
    seen = ""
    for (component, kind), count in sorted(counted.items()):
        table.add_row(component if component != seen else "", kind, str(count))
        seen = component
    console.print(table)
    console.print(f"{sum(counted.values())} resources")
