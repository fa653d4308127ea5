"""What exists once in an account and region, whichever stacks use it."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class AccountBaselineArgs:
    """Arguments of `AccountBaseline`."""

    names: Names
    tags: Tags


class AccountBaseline(pulumi.ComponentResource):
    """Account settings: the role with which API Gateway writes logs, and encryption of every new EBS volume.

    Create them in one stack of each account and region; the others rely on what is there.
    """

    def __init__(
        self, name: str, args: AccountBaselineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:account_baseline:AccountBaseline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-apigateway-logs-role",
            assume_role_policy=iam.trust("apigateway.amazonaws.com", args.names.account_id),
            description="API Gateway writes its logs",
            tags=args.tags.component("account-baseline"),
            opts=child,
        )
        attachment = aws.iam.RolePolicyAttachment(
            f"{name}-apigateway-logs-policy",
            role=role.name,
            # API Gateway checks for exactly this policy's permissions when the setting is made.
            policy_arn="arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",
            opts=child,
        )
        aws.apigateway.Account(
            f"{name}-apigateway",
            cloudwatch_role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[attachment]),
        )
        aws.ebs.EncryptionByDefault(f"{name}-ebs-encryption", enabled=True, opts=child)
        self.register_outputs({})
