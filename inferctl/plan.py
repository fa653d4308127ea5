"""`plan` and `export`: an environment judged and written down with no account."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inferctl import baseline, reports
from inferctl.judged import Judged, judged
from inferctl.money import bound, usd
from inferctl.session import Session, environment, open_session
from inferctl.up import build_packages, require
from inferctl.workspace import Workspace
from toolchain.progress import Progress


def judge(name: str) -> Judged:
    """Plan an environment from nothing through the plan provider, with all policies.

    The engine stops at the first refused resource. A refused plan is previewed once more, which goes on to
    the end: the verdict is then complete, and so is the cost.

    Raises:
        CommandFailed: a setting is wrong, or the program fails.
    """
    with Progress() as progress:
        session = _scratch(name, progress)
        with progress.step("plan") as step:
            outcome = session.engine.up(step)
            step.result = outcome.summary()
            if not outcome.violations:
                require(outcome)
        if not outcome.violations:
            return judged(session.env, outcome, session.engine.export())
        with progress.step("verdict") as step:
            verdict = session.engine.preview(step)
            step.result = f"{len(verdict.violations)} violations"
    return judged(session.env, verdict, {"deployment": {"resources": list(verdict.planned.values())}})


def plan(name: str, console: Console, files: list[Path]) -> None:
    """Show a plan with its changes, cost and advisories, and write reports of it.

    Raises:
        CommandFailed: a setting is wrong or the program fails.
        Refused: a policy refuses the plan; the reports are written all the same.
    """
    reports.check(files)
    found = judge(name)
    reports.write(found, files)
    show_resources(found.export, console)
    _show_changes(found, console)
    _show_cost(found, console)
    for advisory in dict.fromkeys(found.outcome.advisories):
        console.print(f"advisory: {advisory}", highlight=False, markup=False, soft_wrap=True)
    found.require()


def _show_cost(found: Judged, console: Console) -> None:
    total, change = found.cost.total, found.change
    against = f", {usd(change.load, sign=True)} against the baseline" if change else ""
    console.print(
        f"cost: {bound(found.cost)}{usd(total.idle)} in an idle month, {usd(total.load)} at load{against}",
        highlight=False,
    )


def _show_changes(found: Judged, console: Console, most: int = 20) -> None:
    """What differs from the reviewed baseline, the first `most` of it in full."""
    if not found.reviewed:
        console.print(f"{found.name} has no baseline yet: `make baseline` writes it")
        return
    lines = found.changes.lines()
    console.print(f"against environments/baseline/{found.name}.txt: {len(lines) or 'no'} differences")
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
