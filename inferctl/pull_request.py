"""A judged plan in Markdown, as a comment on a pull request: the verdict first, details folded."""

import html
from collections.abc import Iterable, Iterator, Sequence

from inferctl.findings import PolicyFinding
from inferctl.judged import Judged
from inferctl.money import bound, left_out, model_rows, usd

_MOST_CHANGES = 100
_LARGEST = 5


def as_markdown(plan: Judged) -> str:
    """The comment. It ends with a newline."""
    parts = [
        f"### {plan.name}: {'refused' if plan.refusals else 'passed'}",
        _summary(plan),
        *_refusals(plan.refusals),
        *_folded(_cost_title(plan), _cost(plan)),
        *_folded(_counted(len(plan.advisories), "advisory", "advisories"), _advisories(plan.advisories)),
        *_folded(_changes_title(plan), _changes(plan)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _summary(plan: Judged) -> str:
    refused = {finding.rule for finding in plan.refusals}
    policies = f"**{_counted(len(refused), 'rule', 'rules')} refused it**" if refused else "no refusal"
    change = f" ({usd(plan.change.load, sign=True)} against the baseline)" if plan.change else ""
    cap = f", cap {usd(plan.cap)}" if plan.cap is not None else ""
    cost = f"**{bound(plan.cost)}{usd(plan.cost.total.load)}** a month at load{change}{cap}"
    return f"{policies} · {cost} · {usd(plan.cost.total.idle)} idle"


def _refusals(findings: Sequence[PolicyFinding]) -> Iterator[str]:
    if findings:
        rows = [
            (f"`{each.rule}`", f"`{_cell(each.resource)}`", _cell(_shortened(each.what)), _cell(each.fix))
            for each in findings
        ]
        yield _table(("rule", "resource", "reason", "fix"), rows)


def _shortened(what: str, most: int = 3) -> str:
    """Of many lines the first two and the last; the folded parts and the other reports have the rest."""
    lines = what.splitlines()
    return what if len(lines) <= most else "\n".join((*lines[: most - 1], lines[-1]))


def _cost_title(plan: Judged) -> str:
    total = plan.cost.total
    return f"Cost: {bound(plan.cost)}{usd(total.idle)} idle, {usd(total.load)} at load"


def _cost(plan: Judged) -> Iterator[str]:
    before = plan.before.by_component() if plan.before else {}
    rows = []
    for name, money in plan.cost.by_component().items():
        was = before[name].load if name in before else 0.0
        rows.append((_cell(name), usd(money.idle), usd(money.load), usd(money.load - was, sign=True)))
    gone = [(_cell(name), "$0.00", "$0.00", usd(-before[name].load, sign=True)) for name in before]
    rows += [row for row in gone if row[0] not in {row[0] for row in rows}]
    yield _table(("component", "idle", "at load", "change"), rows)
    yield _table(
        ("model", "idle", "at load", "1,000 requests", "1M tokens"),
        [(_cell(row[0]), *row[1:]) for row in model_rows(plan.cost)],
    )
    largest = [
        (_cell(item.where), usd(money.load), _cell(fix)) for item, money, fix in plan.cost.largest(_LARGEST)
    ]
    yield _table(("largest items", "at load", "less with"), largest)
    if missing := left_out(plan.cost):
        yield f"Left out for want of a sourced price: {_cell(', '.join(missing))}."


def _advisories(findings: Sequence[PolicyFinding]) -> Iterator[str]:
    if findings:
        rows = [(f"`{each.rule}`", f"`{_cell(each.resource)}`", _cell(each.what)) for each in findings]
        yield _table(("rule", "resource", "what"), rows)


def _changes_title(plan: Judged) -> str:
    changes = plan.changes
    counts = f"{len(changes.added)} added, {len(changes.removed)} removed"
    # Of a refused plan only the paths are compared.
    return f"Resources: {counts}" + ("" if plan.refusals else f", {len(changes.changed)} changed")


def _changes(plan: Judged) -> Iterator[str]:
    lines = plan.changes.lines()
    if lines:
        more = [f"... and {len(lines) - _MOST_CHANGES} more"] if len(lines) > _MOST_CHANGES else []
        yield "```diff\n" + "\n".join([*lines[:_MOST_CHANGES], *more]).replace("`", "'") + "\n```"


def _folded(title: str, parts: Iterable[str]) -> Iterator[str]:
    """A part of the comment that opens on demand; nothing where it is empty."""
    content = "\n\n".join(parts)
    if content:
        yield f"<details><summary>{html.escape(title)}</summary>\n\n{content}\n\n</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays in its cell, whatever a resource is called: no markup, no mention, no second row."""
    safe = html.escape(text, quote=False).replace("|", "\\|").replace("`", "'").replace("@", "&#64;")
    return safe.replace("\n", "<br>")
