"""A runner for GitHub Actions inside the VPC: CodeBuild starts a machine for each job and takes it away."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.build_project import BuildDefaults, BuildNetwork, BuildProject, BuildProjectArgs


@dataclass(frozen=True, kw_only=True)
class RunnerArgs:
    """Arguments of `Runner`."""

    defaults: BuildDefaults
    """Names, tags, keys and logs, shared with the build projects."""
    network: BuildNetwork
    """Subnets from which the cluster's private endpoint is in reach."""
    repository_url: str
    """`https://github.com/<owner>/<repository>`."""
    connection_arn: str
    """Connection to GitHub that somebody has authorised."""


class Runner(pulumi.ComponentResource):
    """Takes jobs whose workflow says `runs-on: codebuild-<project>-${{ github.run_id }}-…`.

    A job brings its own identity: the machine's role reads the connection and writes logs, and the job takes
    the deploy role with its GitHub token. Jobs have no Docker; images are built by projects of their own.
    https://docs.aws.amazon.com/codebuild/latest/userguide/action-runner.html
    """

    project_name: pulumi.Output[str]

    def __init__(self, name: str, args: RunnerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:runner:Runner", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        project = BuildProject(
            name,
            BuildProjectArgs(
                defaults=args.defaults,
                role_name="runner",
                description="Runs GitHub Actions jobs inside the VPC",
                architecture="x86_64",
                # Of a runner's buildspec only the phases before its jobs are read; there are none.
                buildspec='{"version": 0.2, "phases": {"build": {"commands": ["true"]}}}',
                repository=args.repository_url,
                connection_arn=args.connection_arn,
                statements=[
                    iam.allow(
                        "Connection",
                        [
                            "codeconnections:GetConnection",
                            "codeconnections:GetConnectionToken",
                            "codeconnections:UseConnection",
                        ],
                        [args.connection_arn],
                    )
                ],
                network=args.network,
                docker=False,
            ),
            opts=child,
        )
        aws.codebuild.Webhook(
            f"{name}-jobs",
            project_name=project.project_name,
            build_type="BUILD",
            filter_groups=[{"filters": [{"type": "EVENT", "pattern": "WORKFLOW_JOB_QUEUED"}]}],
            opts=child,
        )
        self.project_name = project.project_name
        self.register_outputs({"project_name": self.project_name})
