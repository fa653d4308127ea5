"""What a policy says about a resource, as the engine's events have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PolicyFinding:
    """One finding. `why` and `fix` are empty for what is undecided or waived."""

    rule: str
    level: str
    """`mandatory` refuses, `advisory` does not."""
    severity: str
    urn: str
    title: str
    what: str
    why: str
    fix: str

    @property
    def refuses(self) -> bool:
        return self.level == "mandatory"

    @property
    def undecided(self) -> bool:
        """Whether it is only known while the change happens, and is judged again then."""
        return "undecided until up" in self.what

    @property
    def resource(self) -> str:
        """The resource's name."""
        return self.urn.rpartition("::")[2]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "PolicyFinding":
        """Read an event: a title, what is wrong in a line or more, and lines of `why:` and `fix:`."""
        title, *lines = event["message"].strip().splitlines()
        name = event.get("resourceUrn", "").rpartition("::")[2]

        def marked(mark: str) -> str:
            return next((line.removeprefix(mark) for line in lines if line.startswith(mark)), "")

        what = "\n".join(line for line in lines if not line.startswith(("why: ", "fix: ")))
        return cls(
            rule=event["policyName"],
            level=event["enforcementLevel"],
            severity=event.get("severity", ""),
            urn=event.get("resourceUrn", ""),
            title=title,
            what=what.removeprefix(f"{name}: "),
            why=marked("why: "),
            fix=marked("fix: "),
        )
