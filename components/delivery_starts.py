"""What starts deliveries, and who is told when they have ended: rules on the default bus."""

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components import iam
from components.delivery_machine import DETAIL_TYPE, EVENT_SOURCE
from components.event_alerts import tell
from naming import Names


def starts(
    name: str,
    *,
    names: Names,
    machine: aws.sfn.StateMachine,
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Rules that start the machine of deliveries with the event as it is."""
    machine_arn = names.arn("states", f"stateMachine:{names.function('delivery')}")
    role = iam.role(
        f"{name}-start",
        trust_policy=iam.trust("events.amazonaws.com", names.account_id),
        statements=[iam.allow("Start", ["states:StartExecution"], [machine_arn])],
        description="EventBridge starts deliveries",
        tags=tags,
        opts=opts,
    )
    for what, (description, pattern) in patterns(names, machine_arn).items():
        rule = aws.cloudwatch.EventRule(
            f"{name}-{what}",
            name=names.function(f"delivery-{what}"),
            description=description,
            event_pattern=json.dumps(pattern, sort_keys=True),
            tags=tags,
            opts=opts,
        )
        aws.cloudwatch.EventTarget(
            f"{name}-{what}-target",
            rule=rule.name,
            target_id="delivery",
            arn=machine.arn,
            role_arn=role.arn,
            opts=opts,
        )


def registry(
    name: str,
    *,
    names: Names,
    models: Sequence[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> None:
    """A group of the model registry for each model: a package that is approved in it is delivered.

    Its files are those of a published version. SageMaker deletes no group that has packages, so that
    `inferctl destroy` deletes them first.
    """
    for model in models:
        aws.sagemaker.ModelPackageGroup(
            f"{name}-{model}-packages",
            model_package_group_name=names.function(model),
            model_package_group_description=f"Versions of {model}; approving one starts its delivery",
            tags=tags,
            opts=opts,
        )


def registry_statements(names: Names, models: Sequence[str]) -> list[iam.Statement]:
    """To write how deliveries ended to the packages of the models' groups, and to no others."""
    packages = [names.arn("sagemaker", f"model-package/{names.function(model)}/*") for model in models]
    actions = ["sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"]
    return [iam.allow("Registry", actions, packages)] if packages else []


def told(
    name: str, *, topic_arn: pulumi.Input[str], tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> None:
    """A rule that tells the alert topic, in a sentence, how a delivery ended; not where nothing changed."""
    pattern = {
        "source": [EVENT_SOURCE],
        "detail-type": [DETAIL_TYPE],
        "detail": {"outcome": [{"anything-but": ["unchanged"]}]},
    }
    tell(
        f"{name}-told",
        description="A delivery of a model version has ended",
        event_pattern=json.dumps(pattern, sort_keys=True),
        topic_arn=topic_arn,
        tags=tags,
        opts=opts,
        input_path="$.detail.text",
    )


def patterns(names: Names, machine_arn: str) -> dict[str, tuple[str, Mapping[str, object]]]:
    """What starts the machine: rule -> description and pattern of its events."""
    ended = {
        "stateMachineArn": [machine_arn],
        # Beside those who end with a refusal, which is recorded: the rest died on the way.
        "$or": [
            {"status": ["ABORTED", "TIMED_OUT"]},
            {"status": ["FAILED"], "error": [{"anything-but": ["DeliveryRefused"]}]},
        ],
    }
    return {
        "published": (
            "A version's manifest is in the models bucket",
            {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [names.bucket("models")]},
                    "object": {"key": [{"wildcard": "models/*/manifest.json"}]},
                },
            },
        ),
        "approved": (
            "A package of the model registry is approved",
            {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Model Package State Change"],
                "detail": {
                    "ModelApprovalStatus": ["Approved"],
                    "ModelPackageGroupName": [{"prefix": f"{names.prefix}-"}],
                    # A delivery writes how it ended to its package, which is an event of a package that is
                    # approved, too. One that is approved from the beginning has no fields that changed.
                    "$or": [
                        {"UpdatedModelPackageFields": ["ModelApprovalStatus"]},
                        {"UpdatedModelPackageFields": [{"exists": False}]},
                    ],
                },
            },
        ),
        "ended": (
            "A delivery's execution ended before the delivery did",
            {
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": ended,
            },
        ),
    }
