"""A plan with everything that is said about it: changes, policies and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cost import prices
from cost.estimate import Estimate, Money, estimate
from cost.load import Load
from environments.schema import Environment
from inferctl import baseline
from inferctl.errors import CommandFailed, Refused
from inferctl.findings import PolicyFinding
from inferctl.outcome import Outcome
from policies import settings
from policies.rules import RULES
from policies.settings import CONFIG, RuleConfig

CAP_RULE = "estimated-monthly-cost-cap"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An environment's plan and the verdict on it."""

    env: Environment
    outcome: Outcome
    export: Mapping[str, Any]
    """The deployment; of a refused plan, what it would have been."""
    reviewed: str
    """The baseline, empty where there is none."""
    changes: baseline.Difference
    cost: Estimate
    before: Estimate | None
    """The baseline's cost, at today's prices and load."""

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def refusals(self) -> Sequence[PolicyFinding]:
        return _once([finding for finding in self.outcome.findings if finding.refuses])

    @property
    def advisories(self) -> Sequence[PolicyFinding]:
        return _once([finding for finding in self.outcome.findings if not finding.refuses])

    @property
    def rules(self) -> Mapping[str, RuleConfig]:
        """Levels and thresholds that judged it."""
        return settings.load(CONFIG / f"{self.env.policy_profile}.json", RULES)

    @property
    def cap(self) -> float | None:
        """USD that a month may cost; None where the environment has no cap."""
        config = self.rules[CAP_RULE]
        return None if config.level == "disabled" else float(config.settings["maxUsd"])

    @property
    def change(self) -> Money | None:
        """What the plan costs more than its baseline."""
        if self.before is None:
            return None
        return Money(
            self.cost.total.idle - self.before.total.idle, self.cost.total.load - self.before.total.load
        )

    def require(self) -> None:
        """Raises `Refused` where a policy refuses the plan."""
        if self.refusals:
            raise Refused(
                "the policies refuse this change:\n\n" + "\n\n".join(dict.fromkeys(self.outcome.violations)),
                "correct what they name, or record a waiver in policies/waivers.yaml",
            )


def judged(env: Environment, outcome: Outcome, export: Mapping[str, Any]) -> Judged:
    """Put a plan beside its baseline and its price.

    Raises:
        CommandFailed: there are no prices for its region.
    """
    reviewed = baseline.read(env.name)
    changes = baseline.difference(reviewed, baseline.render(export))
    if outcome.violations:  # events of a preview hide secrets and assets: only paths can be compared
        changes = baseline.Difference(added=changes.added, removed=changes.removed, changed=())
    return Judged(
        env=env,
        outcome=outcome,
        export=export,
        reviewed=reviewed,
        changes=changes,
        cost=cost_of(env, export["deployment"]["resources"]),
        before=cost_of(env, baseline.resources(reviewed)) if reviewed else None,
    )


def cost_of(env: Environment, resources: Sequence[Mapping[str, Any]]) -> Estimate:
    """What resources cost in an environment's region, at its load.

    Raises:
        CommandFailed: there are no prices for the region.
    """
    try:
        table = prices.load(env.region)
    except prices.NoPrices as error:
        raise CommandFailed(str(error), "add the table, with a source for each row") from None
    return estimate(resources, Load.read(env.load.model_dump()), table)


def _once(findings: Sequence[PolicyFinding]) -> Sequence[PolicyFinding]:
    return list(dict.fromkeys(findings))
