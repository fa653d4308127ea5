"""Checks of `doctor` and `verify`: what each found, said with the next step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import typer

from inferctl.errors import Exit
from inferctl.failures import EXPECTED, explain
from inferctl.options import show
from toolchain.progress import Progress, Step

Verdict = Literal["ok", "fault", "unknown"]
_MARKS: dict[Verdict, str] = {"ok": "ok     ", "fault": "FAULT  ", "unknown": "unknown"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a check found."""

    check: str
    verdict: Verdict
    """`unknown`: it cannot be checked here, and `what` says why; it is never taken for fine."""
    what: str
    next_step: str = ""

    def line(self) -> str:
        after = f"\n             next: {self.next_step}" if self.next_step else ""
        return f"{_MARKS[self.verdict]}  {self.check}: {self.what}{after}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check says before it has its name."""

    verdict: Verdict
    what: str
    next_step: str = ""


Check = Callable[[Step], Iterator[Finding]]
"""The step shows what a long check is doing."""


def ok(what: str) -> Finding:
    return Finding(verdict="ok", what=what)


def fault(what: str, next_step: str) -> Finding:
    return Finding(verdict="fault", what=what, next_step=next_step)


def unknown(why: str) -> Finding:
    return Finding(verdict="unknown", what=f"not checkable here: {why}")


def run(title: str, checks: Sequence[tuple[str, Check]], env: str) -> list[Result]:
    """Run each check; one that AWS does not answer is unknown and stops no other."""
    results = []
    with Progress() as progress, progress.step(title) as step:
        for name, check in checks:
            step.detail = name
            try:
                found = list(check(step))
            except EXPECTED as error:
                failure = explain(error, env)
                found = [Finding(verdict="unknown", what=failure.what, next_step=failure.next_step)]
            results += [
                Result(check=name, verdict=one.verdict, what=one.what, next_step=one.next_step)
                for one in found
            ]
        step.result = summary(results)
    return results


def summary(results: Sequence[Result]) -> str:
    counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in _MARKS}
    return f"{counts['ok']} ok, {counts['fault']} faults, {counts['unknown']} not known"


def report(title: str, results: Sequence[Result], as_json: bool) -> None:
    """Print what was found, faults first, and exit with 6 when there is a fault."""
    order = ["fault", "unknown", "ok"]
    found = sorted(results, key=lambda result: order.index(result.verdict))
    record: dict[str, Any] = {"results": [asdict(result) for result in found]}
    show(record, [*(result.line() for result in found), f"{title}: {summary(results)}"], as_json)
    if any(result.verdict == "fault" for result in results):
        raise typer.Exit(Exit.FOUND)
