"""What stops spending, or at least tells somebody."""

from typing import Annotated, Any

from pydantic import Field

from policies.capacity import NODE_GROUP
from policies.resources import STACK, Part, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, resource_rule, stack_rule
from policies.rules.sagemaker import ENDPOINT_CONFIG, is_serverless

BUDGET = "aws:budgets/budget:Budget"
BUDGET_ACTION = "aws:budgets/budgetAction:BudgetAction"
ANOMALY_MONITOR = "aws:costexplorer/anomalyMonitor:AnomalyMonitor"
ANOMALY_SUBSCRIPTION = "aws:costexplorer/anomalySubscription:AnomalySubscription"

_STACK = Sample(type=STACK, name="stack", props={})


def _notification(kind: str, threshold: int) -> dict[str, Any]:
    return {
        "notificationType": kind,
        "threshold": threshold,
        "thresholdType": "PERCENTAGE",
        "subscriberEmailAddresses": ["platform-team@example.com"],
    }


def _budget(*notifications: dict[str, Any]) -> Sample:
    props = {"budgetType": "COST", "limitAmount": "500", "notifications": list(notifications)}
    return Sample(type=BUDGET, name="monthly", props=props)


@stack_rule(
    id="budget-required",
    title="A budget warns before the money is spent",
    severity="high",
    why="Without one, the first sign of a runaway endpoint is the invoice.",
    fix="add an aws.budgets.Budget of type COST with notifications at 80 % actual and 100 % forecast",
    types=[STACK],
    settings={"maxUsd": Annotated[float, Field(gt=0)]},
    good=[_STACK, _budget(_notification("ACTUAL", 80), _notification("FORECASTED", 100))],
    bad=[_STACK, _budget(_notification("ACTUAL", 100))],
)
def budget_required(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    budgets = [each for each in stack.of(BUDGET) if each.get("budgetType") == "COST"]
    if not budgets:
        yield Finding("it has no budget of type COST")
    for budget in budgets:
        limit = float(budget.get("limitAmount", 0))
        if limit > settings["maxUsd"]:
            yield Finding(
                f"budget {budget.name} is {limit:g} USD; at most {settings['maxUsd']:g} are allowed"
            )
        warnings = list(budget.parts("notifications"))
        for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100)):
            if not any(_warns(each, kind, percent) for each in warnings):
                yield Finding(f"budget {budget.name} tells nobody at {percent} % {kind.lower()}")


def _warns(notification: Part, kind: str, percent: int) -> bool:
    subscribers = ("subscriberEmailAddresses", "subscriberSnsTopicArns")
    return bool(
        notification.get("notificationType") == kind
        and notification.get("thresholdType") == "PERCENTAGE"
        and notification.get("threshold", 0) <= percent
        and any(notification.items(name) for name in subscribers)
    )


@stack_rule(
    id="budget-action-dev",
    title="Spending stops by itself when the budget is used up",
    severity="medium",
    why="Nobody reads mail at night, and outside production nothing is worth going on for.",
    fix="add an aws.budgets.BudgetAction at 100 % that denies new capacity",
    types=[STACK],
    good=[
        _STACK,
        Sample(type=BUDGET_ACTION, name="stop", props={"actionThreshold": {"actionThresholdValue": 100}}),
    ],
    bad=[_STACK],
)
def budget_action(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    actions = stack.of(BUDGET_ACTION)
    if not any(each.get("actionThreshold.actionThresholdValue", 999) <= 100 for each in actions):
        yield Finding("it has no budget action at 100 % or less")


@stack_rule(
    id="cost-anomaly-monitor",
    title="Somebody is told when spending is unlike itself",
    severity="low",
    why="A budget sees only the sum: a service that doubles while another shrinks goes unseen.",
    fix="add an aws.costexplorer.AnomalyMonitor with an AnomalySubscription",
    types=[STACK],
    good=[
        _STACK,
        Sample(type=ANOMALY_MONITOR, name="services", props={}),
        Sample(type=ANOMALY_SUBSCRIPTION, name="mail", props={}),
    ],
    bad=[_STACK, Sample(type=ANOMALY_MONITOR, name="services", props={})],
)
def cost_anomaly_monitor(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    for type_, name in ((ANOMALY_MONITOR, "monitor"), (ANOMALY_SUBSCRIPTION, "subscription")):
        if not stack.of(type_):
            yield Finding(f"it has no cost anomaly {name}")


@resource_rule(
    id="savings-plan-advisory",
    title="Capacity that always runs is bought ahead",
    severity="low",
    why="A one-year savings plan costs about 30 % less than on demand and pays off after some eight months.",
    fix="buy a savings plan for the steady part, or let the least size be 0",
    types=[NODE_GROUP, ENDPOINT_CONFIG],
    good={"scalingConfig": {"minSize": 0}},
    bad={"instanceTypes": ["m7g.large"], "scalingConfig": {"minSize": 2}},
)
def savings_plan(resource: Resource, settings: Settings) -> Findings:
    if resource.type == NODE_GROUP:
        least = resource.get("scalingConfig.minSize", 0)
        if least > 0 and resource.get("capacityType") != "SPOT":
            types = " or ".join(map(str, resource.items("instanceTypes")))
            yield Finding(f"{least} x {types or 't3.medium'} always run")
        return
    for variant in resource.parts("productionVariants"):
        if not is_serverless(variant) and not resource.has("asyncInferenceConfig"):
            count, kind = variant.get("initialInstanceCount", 1), variant.get("instanceType")
            yield Finding(f"{count} x {kind} always run")


RULES = (budget_required, budget_action, cost_anomaly_monitor, savings_plan)
