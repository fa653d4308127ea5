"""The estimate as people and programs read it: a table, the arithmetic of a resource, JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cost.estimate import Estimate, Money
from inferctl.errors import CommandFailed
from inferctl.judged import cost_of
from inferctl.money import as_data, bound, left_out, model_rows, usd
from inferctl.plan import deployment
from inferctl.session import environment


def cost(name: str, explain: str | None, as_json: bool, exported: Path | None, console: Console) -> None:
    """Print what an environment costs in a month.

    Raises:
        CommandFailed: `explain` names no resource, or the environment cannot be planned.
    """
    content = json.loads(exported.read_text(encoding="utf-8")) if exported else deployment(name)
    estimate = cost_of(environment(name), content["deployment"]["resources"])
    if explain:
        lines = explained(estimate, explain)
    elif as_json:
        lines = [json.dumps(as_data(estimate), indent=1)]
    else:
        lines = [*_notes(estimate)]
        console.print(_table(estimate))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def explained(estimate: Estimate, wanted: str) -> list[str]:
    """The arithmetic of every line of the resources whose name, path or component is `wanted`."""
    found = [
        line
        for line in estimate.lines
        if wanted in (line.resource.name, line.resource.where, line.resource.component, line.resource.urn)
    ]
    if not found:
        names = sorted({line.resource.where for line in estimate.lines})
        raise CommandFailed(f"{wanted} has no price", f"name one of:\n{chr(10).join(names)}")
    said = []
    for line in found:
        said.append(f"{line.resource.where}: {line.what}" + (f" ({line.why})" if line.why else ""))
        said.append(f"  idle:    {line.arithmetic(line.idle, line.idle_usd)}")
        said.append(f"  at load: {line.arithmetic(line.load, line.load_usd)}")
        said.append(f"  price:   {line.key}, {estimate.table.cited(line.price)}")
    total = Money(sum(line.idle_usd for line in found), sum(line.load_usd for line in found))
    return [*said, f"together: {usd(total.idle)} idle, {usd(total.load)} at load"]


def _table(estimate: Estimate) -> Table:
    table = Table("", "idle month", "month at load", "1,000 requests", "1M tokens", box=None, pad_edge=False)
    for name, money in estimate.by_component().items():
        table.add_row(name, usd(money.idle), usd(money.load))
    total = estimate.total
    table.add_row(
        f"{bound(estimate)}in all", usd(total.idle), usd(total.load), style="bold", end_section=True
    )
    for row in model_rows(estimate):
        table.add_row(f"model {row[0]}" if row[0] != "(shared)" else "shared by all models", *row[1:])
    return table


def _notes(estimate: Estimate) -> Iterator[str]:
    for gap in estimate.unpriced:
        yield f"not priced: {gap.resource.where}: {gap.why}"
    if missing := left_out(estimate):
        yield f"left out, for want of a sourced price: {', '.join(missing)}"
    yield f"list prices of {estimate.table.region}, no free tiers, no tax; `inferctl cost --explain RESOURCE`"
