"""What the workers of deliveries may do, backend by backend."""

from collections.abc import Iterable, Sequence

import pulumi

from components import iam
from components.function import FunctionDefaults
from components.names import Names


def watch_statements(names: Names) -> list[iam.Statement]:
    """To judge a canary by alarms and metrics."""
    return [
        iam.allow("Alarms", ["cloudwatch:DescribeAlarms"], [names.arn("cloudwatch", "alarm:*")]),
        # Metrics have no resources to name.
        iam.allow("Metrics", ["cloudwatch:GetMetricData"], ["*"]),
    ]


def lambda_statements(
    defaults: FunctionDefaults, models: Iterable[str]
) -> pulumi.Output[list[iam.Statement]]:
    """To publish, try and route to versions of the models' functions, and of no others."""
    names = defaults.names
    functions = [names.arn("lambda", f"function:{names.function(f'model-{model}')}") for model in models]
    versions = [f"{function}:*" for function in functions]

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
                [*functions, *versions],
            ),
            # With a qualifier only: the functions themselves are the stack's.
            iam.allow("OldVersions", ["lambda:DeleteFunction"], versions),
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


def sagemaker_statements(
    defaults: FunctionDefaults, models: Iterable[str], role_arns: Sequence[pulumi.Input[str]]
) -> pulumi.Output[list[iam.Statement]]:
    """To make models and configurations like those of the models' endpoints, and to update the endpoints.

    Args:
        models: names of the models.
        role_arns: execution roles of their containers, which a new model of theirs gets.
    """
    names = defaults.names
    prefixes = [f"{names.prefix}-{model}-" for model in models]

    def arns(kind: str) -> list[str]:
        return [names.arn("sagemaker", f"{kind}/{prefix}*") for prefix in prefixes]

    def known(roles: Sequence[str]) -> list[iam.Statement]:
        return [
            iam.allow(
                "Endpoints",
                ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpoint"],
                [*arns("endpoint"), *arns("endpoint-config")],
            ),
            iam.allow(
                "Versions",
                ["sagemaker:CreateModel", "sagemaker:CreateEndpointConfig"],
                [*arns("model"), *arns("endpoint-config")],
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
