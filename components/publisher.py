"""How the pipeline of a model's repository publishes: it puts versions there, and sees what comes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.delivery_access import github_trust
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class PublisherArgs:
    """Arguments of `Publisher`."""

    names: Names
    tags: Tags
    role: str
    """Last part of the role's name."""
    owner: str
    """Owner of the repository."""
    repository: str
    """Name of the repository."""
    branch: str
    """The only branch that may publish."""
    github_environment: str | None = None
    """GitHub environment whose reviewers approve publications; None means that a push is enough."""
    models: Sequence[str]
    """Models whose versions it publishes."""
    data_key_arn: pulumi.Input[str]
    """Key of the models bucket."""


class Publisher(pulumi.ComponentResource):
    """A role for one repository and branch that publishes versions of its models, and no others.

    What is published is delivered as ever: the role itself moves no requests, and approves nothing.
    """

    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PublisherArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:publisher:Publisher", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        branch = f"ref:refs/heads/{args.branch}"
        # Without an environment the claim has the branch; with one it has both, where the repository says so.
        context = f"environment:{args.github_environment}:{branch}" if args.github_environment else branch
        role = aws.iam.Role(
            f"{name}-role",
            name=args.names.function(f"publish-{args.role}"),
            description=f"GitHub: {args.owner}/{args.repository} publishes {', '.join(args.models)}",
            max_session_duration=3600,
            assume_role_policy=github_trust(args.names, [f"repo:{args.owner}/{args.repository}:{context}"]),
            tags=args.tags.component("delivery"),
            opts=child,
        )
        aws.iam.RolePolicy(
            f"{name}-role-policy",
            role=role.id,
            policy=pulumi.Output.from_input(args.data_key_arn).apply(
                lambda key: iam.policy(*publisher_statements(args.names, args.models, key))
            ),
            opts=child,
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})


def publisher_statements(names: Names, models: Sequence[str], data_key_arn: str) -> list[iam.Statement]:
    """What `inferctl models publish` asks of AWS, for these models, and to register packages of them.

    No delivery can be started by hand: its request names any model, and IAM sees no request.
    """
    bucket, machine = names.bucket_arn("models"), names.function("delivery")
    published = [f"{bucket}/models/{model}/*" for model in models]
    packages = [
        names.arn("sagemaker", f"{kind}/{names.function(model)}{below}")
        for model in models
        for kind, below in (("model-package-group", ""), ("model-package", "/*"))
    ]
    return [
        iam.allow("Versions", ["s3:GetObject", "s3:PutObject"], published),
        # A version never changes: its manifest is written where there is none.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        {
            "Sid": "ManifestsStay",
            "Effect": "Deny",
            "Action": ["s3:PutObject"],
            "Resource": [f"{bucket}/models/*/manifest.json"],
            "Condition": {"Null": {"s3:if-none-match": "true"}},
        },
        iam.allow(
            "Find",
            ["s3:ListBucket"],
            [bucket],
            condition={"StringLike": {"s3:prefix": [f"models/{model}/*" for model in models]}},
        ),
        iam.allow(
            "Encrypted",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            [data_key_arn],
            condition={"StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"}},
        ),
        iam.allow(
            "Outcomes",
            ["dynamodb:GetItem"],
            [names.arn("dynamodb", f"table/{machine}")],
            condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": list(models)}},
        ),
        iam.allow(
            "Steps",
            ["states:DescribeExecution", "states:GetExecutionHistory"],
            [names.arn("states", f"execution:{machine}:*")],
        ),
        # People approve.
        iam.allow(
            "Packages",
            ["sagemaker:CreateModelPackage"],
            packages,
            condition={"StringEqualsIfExists": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}},
        ),
    ]
