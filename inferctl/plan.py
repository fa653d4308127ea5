"""`plan` and `export`: an environment judged and written down with no account."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inferctl import baseline, reports
from inferctl.graph import Graph, path_lines
from inferctl.judged import Judged, judged
from inferctl.money import bound, usd
from inferctl.quotas import demands
from inferctl.review import Review, from_baseline
from inferctl.session import Session, environment, open_session, running_locally
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


def plan(name: str, files: list[Path]) -> tuple[Review, Judged]:
    """Judge an environment, compare it with what is there, and write reports of it.

    What changes is asked of the running stack where there is one; elsewhere the committed baseline says it.

    Raises:
        CommandFailed: a setting is wrong or the program fails.
    """
    reports.check(files)
    found = judge(name)
    reports.write(found, files)
    running = None if found.refusals else running_locally(found.env)
    if running:
        with Progress() as progress, progress.step("compare") as step:
            compared = running.engine.preview(step)
            require(compared)
            step.result = compared.summary()
        against, changes = f"the running stack {name}", tuple(compared.steps)
    else:
        against, changes = f"environments/baseline/{name}.txt", from_baseline(found.changes)
    review = Review(
        env=name,
        against=against,
        changes=changes,
        findings=(*found.refusals, *found.advisories),
        cost=_cost_line(found),
        quotas=tuple(demands(found.env)),
        path=tuple(path_lines(Graph.of(found.export))),
    )
    return review, found


def _cost_line(found: Judged) -> str:
    total, change = found.cost.total, found.change
    against = f", {usd(change.load, sign=True)} against the baseline" if change else ""
    return f"{bound(found.cost)}{usd(total.idle)} in an idle month, {usd(total.load)} at load{against}"


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


def counted(export: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Component, type and count, for `--json`."""
    return [
        {"component": component, "type": kind, "count": count}
        for (component, kind), count in sorted(Counter(resources(export)).items())
    ]


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
