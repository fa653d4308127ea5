"""Waivers: named, owned, short-lived permissions for one resource to break one rule.

They stand in `waivers.yaml`. A waiver that is not in order waives nothing.
"""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

LONGEST = datetime.timedelta(days=90)
SHORTEST_REASON = 20
"""Characters; less does not say why."""

_FIELDS = ("rule", "urn", "reason", "owner", "expires")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """One entry of the file as it stands there, right or wrong."""

    rule: str
    urn: str
    """Pattern: `*` stands for any text, in the resource's name only."""
    reason: str
    owner: str
    expires: datetime.date
    malformed: str = ""
    """Fields that are missing or wrong."""

    @property
    def stack(self) -> str:
        return self.urn.removeprefix("urn:pulumi:").partition("::")[0]

    def covers(self, rule: str, urn: str) -> bool:
        return rule == self.rule and fnmatchcase(urn, self.urn)


def load(file: Path) -> Sequence[Waiver]:
    """All entries of the file.

    Raises:
        ValueError: the file is not a list of objects under `waivers`.
    """
    content = yaml.safe_load(file.read_text()) or {}
    entries = content.get("waivers") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file}: expected a list of objects under `waivers`")
    return [_waiver(entry) for entry in entries]


def _waiver(entry: dict[str, Any]) -> Waiver:
    wrong = [f"{name} is missing" for name in _FIELDS if not entry.get(name)]
    wrong += [f"{name} is not a field of a waiver" for name in entry if name not in _FIELDS]
    expires = entry.get("expires")
    if not isinstance(expires, datetime.date):
        if expires:
            wrong.append(f"expires: {expires} is not a date (2026-01-31)")
        expires = datetime.date.min
    return Waiver(
        rule=str(entry.get("rule") or ""),
        urn=str(entry.get("urn") or ""),
        reason=str(entry.get("reason") or ""),
        owner=str(entry.get("owner") or ""),
        expires=expires,
        malformed="; ".join(wrong),
    )


def problems(waiver: Waiver, rules: Sequence[str], today: datetime.date) -> Iterator[str]:
    """What is wrong with a waiver on this day, whatever the plan."""
    if waiver.malformed:
        yield waiver.malformed
        return
    if waiver.rule not in rules:
        yield f"there is no rule {waiver.rule}"
    if waiver.rule == "waiver-hygiene":
        yield "this rule cannot be waived"
    if len(waiver.reason.strip()) < SHORTEST_REASON:
        yield f"the reason has fewer than {SHORTEST_REASON} characters"
    if _too_broad(waiver.urn):
        yield f"{waiver.urn} is too broad: it must name the stack, the project, the type and some of the name"
    if waiver.expires < today:
        yield f"it expired on {waiver.expires}"
    if waiver.expires > today + LONGEST:
        yield f"it expires on {waiver.expires}, more than {LONGEST.days} days from now"


def _too_broad(urn: str) -> bool:
    parts = urn.split("::")
    if len(parts) != 4 or not urn.startswith("urn:pulumi:"):
        return True
    wild = [any(mark in part for mark in "*?[") for part in parts]
    return any(wild[:3]) or len(parts[3].strip("*?")) < 3
