"""A plan as a reviewer reads it: what is lost first, then what changes, by component, and what judges it.

`Review` is plain data; other formats of `inferctl plan` are made from it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inferctl.baseline import Difference
from inferctl.findings import PolicyFinding
from inferctl.outcome import Change
from inferctl.quotas import Demand
from policies.rules.platform import STATEFUL

LOST: Mapping[str, str] = {
    "aws:s3/bucket:Bucket": "its objects",
    "aws:cognito/userPool:UserPool": "its tenants and people: every token and client secret ends",
    "aws:cognito/userPoolClient:UserPoolClient": "its secret: that client needs the new one",
    "aws:kms/key:Key": "the key: what it encrypted cannot be read again after the waiting period",
    "aws:cloudwatch/logGroup:LogGroup": "its logs",
    "aws:ecr/repository:Repository": "its images",
    "aws:apigateway/apiKey:ApiKey": "the key: its tenant needs the new one",
    "aws:apigateway/restApi:RestApi": "the address of the API, where it has no domain of its own",
    "aws:dynamodb/table:Table": "its items",
    "aws:sqs/queue:Queue": "the messages in it",
}
"""What goes with a resource, for those that hold something."""

_BLOCK = re.compile(r"(?P<path>\S+)  \[(?P<type>[^\]]+)\]")
_MARKS = {"create": "+", "update": "~", "replace": "!", "delete": "-"}


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a plan would do to an environment."""

    env: str
    against: str
    """What it is compared with: the running stack, or the committed baseline."""
    changes: tuple[Change, ...]
    findings: tuple[PolicyFinding, ...]
    cost: str
    """What a month costs, and how that changes, in a line."""
    quotas: tuple[Demand, ...]
    path: tuple[str, ...]
    """Where a request goes, a line for each backend."""

    @property
    def losses(self) -> list[str]:
        """Each deletion and replacement of something that holds data, in words."""
        return [_loss(change) for change in self.changes if change.operation in _ENDS and _holds(change)]

    @property
    def undecided(self) -> list[PolicyFinding]:
        return [finding for finding in self.findings if finding.undecided]

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "env": self.env,
            "against": self.against,
            "losses": self.losses,
            "changes": [asdict(change) for change in self.changes],
            "findings": [asdict(finding) | {"undecided": finding.undecided} for finding in self.findings],
            "cost": self.cost,
            "quotas": [demand.record() for demand in self.quotas],
            "path": list(self.path),
        }

    def lines(self, most: int = 12) -> Iterator[str]:
        """For people; of a component's changes, the first `most`."""
        yield from _section("Lost, if this goes on", self.losses)
        yield ""
        counted = Counter(change.operation for change in self.changes)
        said = ", ".join(f"{count} to {operation}" for operation, count in sorted(counted.items()))
        yield f"Against {self.against}: {said or 'no change'}"
        by_component: dict[str, list[Change]] = {}
        for change in sorted(self.changes, key=lambda change: (change.operation not in _ENDS, change.path)):
            by_component.setdefault(change.path.split("/")[0], []).append(change)
        for component, changes in by_component.items():
            yield f"  {component}"
            yield from (f"    {_line(change)}" for change in changes[:most])
            if len(changes) > most:
                yield f"    and {len(changes) - most} more"
        decided = [finding for finding in self.findings if not finding.undecided]
        yield from _section("Policies", [_verdict(finding) for finding in decided])
        if self.undecided:
            rules = Counter(finding.rule for finding in self.undecided)
            yield from _section(
                "Undecided until up, and judged again then",
                [f"{rule}: {count} resource{'s' * (count > 1)}" for rule, count in sorted(rules.items())],
            )
        yield from _section("Cost", [self.cost])
        yield from _section("Quotas, needed at the maximum of the default", [q.line() for q in self.quotas])
        yield from _section("Where a request goes", list(self.path))


_ENDS = ("delete", "replace")


def from_baseline(difference: Difference) -> tuple[Change, ...]:
    """Changes against the committed baseline, which knows no replacements: only the stack does."""
    marked = (("create", difference.added), ("delete", difference.removed), ("update", difference.changed))
    found = []
    for operation, blocks in marked:
        for block in blocks:
            match = _BLOCK.match(block)
            if match and not match["type"].startswith(("inference-platform:", "pulumi:")):
                found.append(Change(operation=operation, path=match["path"], type=match["type"]))
    return tuple(found)


def _holds(change: Change) -> bool:
    return change.type in LOST or change.type in STATEFUL


def _loss(change: Change) -> str:
    lost = LOST.get(change.type, "what it holds")
    kind = change.type.rsplit(":", 1)[-1]
    if change.operation == "delete":
        return f"{change.path} ({kind}) is deleted, and with it {lost}"
    why = f", because {', '.join(change.properties)} cannot change in place" if change.properties else ""
    return f"{change.path} ({kind}) is replaced{why}; lost is {lost}"


def _line(change: Change) -> str:
    kind = change.type.rsplit(":", 1)[-1]
    what = f": {', '.join(change.properties)}" if change.properties and change.operation != "create" else ""
    return f"{_MARKS[change.operation]} {change.operation} {change.path.split('/', 1)[-1]} ({kind}){what}"


def _verdict(finding: PolicyFinding) -> str:
    """A finding in at most three lines."""
    advice = "".join(
        f"\n    {word}: {text}" for word, text in (("why", finding.why), ("fix", finding.fix)) if text
    )
    return f"{finding.rule} ({finding.level}) {finding.resource}: {finding.what or finding.title}{advice}"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        yield from (f"  {line}" for line in lines)
