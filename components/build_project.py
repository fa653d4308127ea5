"""A CodeBuild project that works with container images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.tags import Tags
from naming import Names

Architecture = Literal["x86_64", "arm64"]

# Architecture -> (environment type, image that AWS keeps patched, Amazon Linux 2023 with Docker)
# https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
_ENVIRONMENTS: Mapping[Architecture, tuple[str, str]] = {
    "x86_64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
}


@dataclass(frozen=True, kw_only=True)
class BuildNetwork:
    """Subnets that builds run in; they need a way to the internet, for base images and packages."""

    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class BuildDefaults:
    """What all builds of an environment share."""

    names: Names
    tags: Tags
    data_key_arn: pulumi.Input[str]
    """Key of the sources and of what a build keeps."""
    logs_key_arn: pulumi.Input[str]
    log_retention_days: int = 30


@dataclass(frozen=True, kw_only=True)
class BuildProjectArgs:
    """Arguments of `BuildProject`."""

    defaults: BuildDefaults
    role_name: str
    """What it builds; the last part of the project's name."""
    description: str
    architecture: Architecture
    """Of the machine that builds."""
    buildspec: str
    """What a build does; https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"""
    source: pulumi.Input[str] | None = None
    """`bucket/key` of the zip that it builds from; None when the buildspec is all it needs."""
    repository: str | None = None
    """`https://github.com/<owner>/<name>` that it works for; None means no repository."""
    connection_arn: str | None = None
    """Connection with which it reaches the repository."""
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Variables of the build; no secrets, they show in the console."""
    statements: pulumi.Input[Sequence[iam.Statement]] = ()
    """What its role allows beside writing its own log and reaching its subnets."""
    network: BuildNetwork | None = None
    """None: outside the VPC, where CodeBuild has its own way to the internet."""
    docker: bool = True
    """Whether it runs Docker's daemon, which takes a privileged container."""
    timeout_minutes: int = 60
    """Minutes after which a build is stopped."""


class BuildProject(pulumi.ComponentResource):
    """A project with a log group and a role of its own. Someone starts it; nothing does so by itself.

    Each build has a machine of its own.
    """

    project_name: pulumi.Output[str]

    def __init__(self, name: str, args: BuildProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:build_project:BuildProject", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        defaults, names = args.defaults, args.defaults.names
        self._tags = defaults.tags.component("images")
        project_name = f"{names.prefix}-{args.role_name}"
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/codebuild/{project_name}",
            retention_in_days=defaults.log_retention_days,
            kms_key_id=defaults.logs_key_arn,
            tags=self._tags,
            opts=self._child,
        )
        log_group_arn = names.arn("logs", f"log-group:/aws/codebuild/{project_name}")
        security_group_id = self._security_group(args.network) if args.network else None
        role = iam.role(
            name,
            trust_policy=iam.trust("codebuild.amazonaws.com", names.account_id),
            statements=pulumi.Output.all(
                args.statements,
                security_group_id,
                args.network.subnet_ids if args.network else [],
            ).apply(
                lambda known: [
                    iam.allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:*"]),
                    *(_network_statements(names, known[1], known[2]) if known[1] else ()),
                    *known[0],
                ]
            ),
            description=args.description,
            tags=self._tags,
            opts=self._child,
        )
        environment_type, image = _ENVIRONMENTS[args.architecture]
        project = aws.codebuild.Project(
            f"{name}-project",
            name=project_name,
            description=args.description,
            service_role=role.arn,
            build_timeout=args.timeout_minutes,
            encryption_key=defaults.data_key_arn,
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": environment_type,
                "image": image,
                "compute_type": "BUILD_GENERAL1_MEDIUM",
                "privileged_mode": args.docker,
                "environment_variables": [
                    {"name": variable, "value": value} for variable, value in args.environment.items()
                ],
            },
            source=_source(args),
            logs_config={"cloudwatch_logs": {"status": "ENABLED", "group_name": log_group.name}},
            vpc_config={
                "vpc_id": args.network.vpc_id,
                "subnets": args.network.subnet_ids,
                "security_group_ids": [security_group_id],
            }
            if args.network and security_group_id
            else None,
            tags=self._tags,
            opts=self._child,
        )
        self.project_name = project.name
        self.register_outputs({"project_name": self.project_name})

    def _security_group(self, network: BuildNetwork) -> pulumi.Output[str]:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-security-group",
            vpc_id=network.vpc_id,
            description=f"Builds: {self._args.description}",
            tags=self._tags,
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-https",
            security_group_id=group.id,
            description="Registries, package indexes and AWS, over HTTPS",
            cidr_ipv4="0.0.0.0/0",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=self._tags,
            opts=self._child,
        )
        return group.id


def _source(args: BuildProjectArgs) -> aws.codebuild.ProjectSourceArgsDict:
    if args.repository is not None and args.connection_arn is not None:
        return {
            "type": "GITHUB",
            "location": args.repository,
            "auth": {"type": "CODECONNECTIONS", "resource": args.connection_arn},
            "git_clone_depth": 1,
            "buildspec": args.buildspec,
        }
    if args.source is not None:
        return {"type": "S3", "location": args.source, "buildspec": args.buildspec}
    return {"type": "NO_SOURCE", "buildspec": args.buildspec}


def _network_statements(
    names: Names, security_group_id: str, subnet_ids: Sequence[str]
) -> list[iam.Statement]:
    """What CodeBuild needs to put a network interface into the subnets, for itself only.

    https://docs.aws.amazon.com/codebuild/latest/userguide/auth-and-access-control-iam-identity-based-access-control.html
    """
    subnets = [names.arn("ec2", f"subnet/{subnet_id}") for subnet_id in subnet_ids]
    interfaces = names.arn("ec2", "network-interface/*")
    return [
        iam.allow(
            "CreateInterface",
            ["ec2:CreateNetworkInterface"],
            [interfaces, names.arn("ec2", f"security-group/{security_group_id}"), *subnets],
        ),
        iam.allow("DeleteInterface", ["ec2:DeleteNetworkInterface"], [interfaces]),
        iam.allow(
            "UseInterface",
            ["ec2:CreateNetworkInterfacePermission"],
            [interfaces],
            {
                "StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"},
                "ArnEquals": {"ec2:Subnet": subnets},
            },
        ),
        iam.allow(
            "FindNetwork",
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            ["*"],  # EC2's Describe actions have no resources to name
        ),
    ]
