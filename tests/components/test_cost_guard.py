"""What a budget tells and stops while a month goes by: Budgets' own rules, over what is deployed.

https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-best-practices.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.components.conftest import Deployed
from tests.components.recorded import Recorded

DAYS = 30
BUDGET, ACTION = "aws:budgets/budget:Budget", "aws:budgets/budgetAction:BudgetAction"
MONITOR = "aws:costexplorer/anomalyMonitor:AnomalyMonitor"
SUBSCRIPTION = "aws:costexplorer/anomalySubscription:AnomalySubscription"
TAG = "aws:costexplorer/costAllocationTag:CostAllocationTag"


@dataclass(frozen=True)
class Told:
    """A message to the topic, or the action, on a day of the month."""

    day: int
    what: str


def month(made: Recorded, spent: Mapping[int, float], starts_with: float) -> Iterator[Told]:
    """What happens in a month with so many USD spent on each day (those not given: as the day before).

    A notification is told once a month, when its figure first goes beyond its share of the limit. The
    forecast goes on as the month went so far.
    """
    [budget] = made.all(BUDGET)
    limit = float(budget.inputs["limitAmount"])
    total, daily, told = 0.0, starts_with, set()
    for day in range(1, DAYS + 1):
        daily = spent.get(day, daily)
        total += daily
        figures = {"ACTUAL": total, "FORECASTED": total / day * DAYS}
        for given in budget.inputs["notifications"]:
            kind, percent = given["notificationType"], given["threshold"]
            assert given["comparisonOperator"] == "GREATER_THAN"
            assert given["thresholdType"] == "PERCENTAGE"
            what = f"{percent:g} % {kind.lower()}"
            if what not in told and figures[kind] > limit * percent / 100:
                told.add(what)
                yield Told(day, what)
        for action in made.all(ACTION):
            assert action.inputs["approvalModel"] == "AUTOMATIC"
            threshold = action.inputs["actionThreshold"]["actionThresholdValue"]
            if "stop" not in told and total > limit * threshold / 100:
                told.add("stop")
                yield Told(day, "stop")


@pytest.mark.parametrize(
    ("daily", "jumps", "days"),
    [
        pytest.param(9.5, {}, {"80 % actual": 26}, id="within the budget"),
        pytest.param(
            11, {}, {"100 % forecasted": 1, "80 % actual": 22, "stop": 28}, id="a little more every day"
        ),
        pytest.param(
            4,
            {15: 100, 16: 4},
            {"100 % forecasted": 15},
            id="one dear day that leaves enough",
        ),
        pytest.param(
            5,
            {10: 60},
            {"100 % forecasted": 10, "80 % actual": 13, "stop": 14},
            id="something runs for nobody",
        ),
    ],
)
def test_dev_hears_before_the_budget_is_used_up_and_stops_after(
    daily: float, jumps: dict[int, float], days: dict[str, int], deployment_of: Deployed
) -> None:
    """Dev may spend 300 USD a month."""
    found = {each.what: each.day for each in month(deployment_of("dev"), jumps, daily)}
    assert found == days


@pytest.mark.parametrize("env", ["stage", "prod"])
def test_only_dev_is_stopped(env: str, deployment_of: Deployed) -> None:
    made = deployment_of(env)
    [budget] = made.all(BUDGET)
    limit = float(budget.inputs["limitAmount"])
    found = [each.what for each in month(made, {}, limit / DAYS * 2)]
    assert found == ["100 % forecasted", "80 % actual"]


def test_messages_of_the_budget_are_of_this_environment_and_go_to_the_topic(whole_program: Recorded) -> None:
    [budget] = whole_program.all(BUDGET)
    for given in budget.inputs["notifications"]:
        [arn] = given["subscriberSnsTopicArns"]
        assert arn.endswith(f"{budget.inputs['name'].removesuffix('-monthly')}-alerts")
    [condition] = budget.inputs["costFilters"]
    assert condition["values"] == [f"user:environment${budget.inputs['tags']['environment']}"]


@pytest.mark.parametrize(
    ("action", "denied"),
    [
        ("ec2:RunInstances", True),
        ("eks:CreateNodegroup", True),
        ("sagemaker:CreateEndpoint", True),
        ("lambda:PutProvisionedConcurrencyConfig", True),
        ("sagemaker:DeleteEndpoint", False),
        ("lambda:UpdateFunctionCode", False),
        ("ec2:TerminateInstances", False),
    ],
)
def test_the_stop_denies_new_capacity_and_leaves_the_way_down(
    action: str, denied: bool, deployment_of: Deployed
) -> None:
    made = deployment_of("dev")
    [statement] = json.loads(made.named("costs-no-new-capacity").inputs["policy"])["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
    assert any(fnmatchcase(action, pattern) for pattern in statement["Action"]) == denied


def test_the_stop_is_put_on_the_role_that_deploys_and_on_no_other(deployment_of: Deployed) -> None:
    made = deployment_of("dev")
    definition: Any = made.one(ACTION).inputs["definition"]["iamActionDefinition"]
    [role] = definition["roles"]
    assert role == "inference-platform-dev-deploy"
    [stop] = json.loads(made.named("costs-stop-role-policy").inputs["policy"])["Statement"]
    assert [arn.rpartition("/")[2] for arn in stop["Resource"]] == [role]
    assert stop["Condition"] == {"ArnEquals": {"iam:PolicyARN": definition["policyArn"]}}


def test_what_is_not_usual_here_is_told_at_once(whole_program: Recorded) -> None:
    """https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_AnomalySubscription.html"""
    monitor, subscription = whole_program.one(MONITOR), whole_program.one(SUBSCRIPTION)
    [budget] = whole_program.all(BUDGET)
    # A monitor of one's own looks at tags, cost categories or accounts, one of them and no more.
    assert monitor.inputs["monitorType"] == "CUSTOM"
    assert json.loads(monitor.inputs["monitorSpecification"]) == {
        "Tags": {
            "Key": "environment",
            "MatchOptions": ["EQUALS"],
            "Values": [budget.inputs["tags"]["environment"]],
        }
    }
    assert monitor.urn in subscription.depends_on
    # Only mail is sent daily or weekly; a topic takes no other frequency.
    assert subscription.inputs["frequency"] == "IMMEDIATE"
    [subscriber] = subscription.inputs["subscribers"]
    assert subscriber["type"] == "SNS"
    assert [subscriber["address"]] == budget.inputs["notifications"][0]["subscriberSnsTopicArns"]
    threshold = subscription.inputs["thresholdExpression"]["dimension"]
    assert (threshold["key"], threshold["matchOptions"]) == (
        "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
        ["GREATER_THAN_OR_EQUAL"],
    )
    assert float(threshold["values"][0]) > 0


@pytest.mark.parametrize(("env", "known"), [("everything", True), ("prod", False)])
def test_a_payer_account_makes_the_tags_known_to_billing(
    env: str, known: bool, deployment_of: Deployed
) -> None:
    """https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_CostAllocationTagStatusEntry.html"""
    made = deployment_of(env)
    tags = {each.inputs["tagKey"]: each.inputs["status"] for each in made.all(TAG)}
    carried = {key for key in made.one(BUDGET).inputs["tags"] if key != "Name"}
    assert tags == (dict.fromkeys(carried, "Active") if known else {})
