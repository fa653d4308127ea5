"""What the workers of deliveries may do, backend by backend.

Models are named by the beginning of their functions' and endpoints' names, as in `components.jobs_roles`.
"""

from collections.abc import Sequence

import pulumi

from components import iam
from components.function import FunctionDefaults
from components.jobs_queue import queue_prefix
from naming import Names


def watch_statements(names: Names) -> list[iam.Statement]:
    """To judge a canary by alarms and metrics."""
    return [
        iam.allow("Alarms", ["cloudwatch:DescribeAlarms"], [names.arn("cloudwatch", "alarm:*")]),
        # Metrics have no resources to name.
        iam.allow("Metrics", ["cloudwatch:GetMetricData"], ["*"]),
    ]


def lambda_statements(defaults: FunctionDefaults) -> pulumi.Output[list[iam.Statement]]:
    """To publish, try and route to versions of the models' functions, and of no others."""
    names = defaults.names
    functions = names.arn("lambda", f"function:{names.function('model-*')}")
    versions = f"{functions}:*"

    def known(data_key_arn: str) -> list[iam.Statement]:
        return [
            iam.allow(
                "Versions",
                [
                    "lambda:GetAlias",
                    "lambda:ListAliases",  # what the embedded AWS asks for instead of the other two
                    "lambda:UpdateAlias",
                    "lambda:GetFunction",
                    "lambda:GetFunctionConfiguration",
                    "lambda:UpdateFunctionConfiguration",
                    "lambda:PublishVersion",
                    "lambda:ListVersionsByFunction",
                    "lambda:InvokeFunction",
                ],
                [functions, versions],
            ),
            # With a qualifier only: the functions themselves are the stack's.
            iam.allow("OldVersions", ["lambda:DeleteFunction"], [versions]),
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
            iam.allow(
                "Variables",
                ["kms:Encrypt", "kms:CreateGrant"],
                [data_key_arn],
                condition={"StringEquals": {"kms:ViaService": f"lambda.{names.region}.amazonaws.com"}},
            ),
            *watch_statements(names),
        ]

    return pulumi.Output.from_input(defaults.data_key_arn).apply(known)


def eks_statements(
    defaults: FunctionDefaults, table: str, models: Sequence[str]
) -> pulumi.Output[list[iam.Statement]]:
    """To say what the models' replicas are to serve, to hear them, and to have a first one started.

    Args:
        table: name of the deliveries' table.
        models: names of the models.
    """
    names = defaults.names
    rows = [f"{model}/{rows}" for model in models for rows in ("serving", "replicas")]
    queues = [names.arn("sqs", f"{queue_prefix(names)}{model}") for model in models]

    def known(data_key_arn: str) -> list[iam.Statement]:
        return [
            iam.allow(
                "Replicas",
                ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
                [names.arn("dynamodb", f"table/{table}")],
                condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": rows}},
            ),
            iam.allow("Wake", ["sqs:SendMessage"], queues),
            iam.allow("Encrypt", ["kms:GenerateDataKey"], [data_key_arn]),
            *watch_statements(names),
        ]

    return pulumi.Output.from_input(defaults.data_key_arn).apply(known)


def sagemaker_statements(
    defaults: FunctionDefaults, role_arns: Sequence[pulumi.Input[str]]
) -> pulumi.Output[list[iam.Statement]]:
    """To make models and configurations like those of the models' endpoints, and to update the endpoints.

    Args:
        role_arns: execution roles of their containers, which a new model of theirs gets.
    """
    names = defaults.names
    model, endpoint, configuration = (
        names.arn("sagemaker", f"{kind}/{names.prefix}-*")
        for kind in ("model", "endpoint", "endpoint-config")
    )

    def known(roles: Sequence[str]) -> list[iam.Statement]:
        return [
            iam.allow(
                "Endpoints",
                ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpoint"],
                [endpoint, configuration],
            ),
            iam.allow(
                "Versions",
                ["sagemaker:CreateModel", "sagemaker:CreateEndpointConfig"],
                [model, configuration],
            ),
            # The first ones have names that the stack generated.
            iam.allow(
                "Known",
                ["sagemaker:DescribeModel", "sagemaker:DescribeEndpointConfig"],
                [names.arn("sagemaker", "model/*"), names.arn("sagemaker", "endpoint-config/*")],
            ),
            iam.allow(
                "Roles",
                ["iam:PassRole"],
                list(roles),
                condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
        ]

    return pulumi.Output.all(*role_arns).apply(known)
