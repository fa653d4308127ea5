"""Batch and asynchronous inference: files and requests in, results out, every row accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_aws as aws

from components import iam, jobs_events
from components.api_document import Json, lambda_integration
from components.function import Function, FunctionArgs, FunctionDefaults
from components.jobs_queue import JobsQueue, JobsQueueArgs
from components.jobs_roles import Grants
from components.jobs_settings import JobLimits, JobModel, JobsSettings, PartSize, settings_object
from components.jobs_table import JobsTable, JobsTableArgs
from components.packages import Package

_CONTROL = "_control"
"""Stands for a model's name in the control queue's; no model's name has an underscore."""
_CONTROL_TIMEOUT_S = 900
"""The longest that Lambda knows: the largest file is cut in one go, or its job fails."""


@dataclass(frozen=True, kw_only=True)
class JobsArgs:
    """Arguments of `Jobs`."""

    defaults: FunctionDefaults
    """Shared with the functions: names, tags, keys and logs."""
    package: Package
    """Code of the API and of the workers."""
    files_package: Package
    """Code of the control function, which reads and writes files: it has Arrow, and is large for that."""
    data_bucket: pulumi.Input[str]
    """Bucket with `input/`, `work/` and `output/`, whose events go to EventBridge."""
    models: Mapping[str, JobModel]
    """Model name -> how its jobs are worked on; those of the cluster by `ClusterWorker`."""
    tenants: Mapping[str, JobLimits]
    """Tenant name -> its limits."""
    part: PartSize = field(default_factory=PartSize)
    """Where a file is cut."""
    part_timeout_s: int = 300
    """How long the worker function has for a part. Its queues hide a message for as long at least."""
    attempts: int = 3
    """How often a part is tried before its rows get an error and the dead-letter queue its message."""
    workers: int = 10
    """Most parts that the worker function works on at once, for each model that it asks."""
    keep_days: int = 30
    """How long a job and its counts are remembered."""
    protect: bool = True
    """Whether the table refuses deletion."""
    require_tls: bool = True
    """Whether the control queue denies calls without TLS."""


class Jobs(pulumi.ComponentResource):
    """The jobs of all models: the API, the control function, the worker function and the table of jobs.

    Uploads and dropped files take one way: S3 tells EventBridge, whose rule puts the event into the control
    queue. The control function makes a job of it and parts of that; workers commit parts to the table, and
    the last one asks the control function for the result.
    """

    api: Function
    integration: pulumi.Output[Json]
    """What API Gateway needs to call the jobs API."""
    config_key: pulumi.Output[str]
    """Key of the settings in the data bucket."""
    table_name: pulumi.Output[str]
    control_queue: JobsQueue
    grants: Grants
    """What workers may do."""

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:jobs:Jobs", name, None, opts)
        self._name, self._args = name, args
        self._names = args.defaults.names
        self._tags = args.defaults.tags.component("jobs")
        self._child = pulumi.ResourceOptions(parent=self)
        table = JobsTable(
            f"{name}-table",
            JobsTableArgs(
                names=self._names,
                tags=self._tags,
                data_key_arn=args.defaults.data_key_arn,
                protect=args.protect,
            ),
            opts=self._child,
        )
        self.table_name = table.table_name
        self.control_queue = self._control_queue()
        self._settings = JobsSettings(
            table=table.table_name,
            control_queue=self.control_queue,
            models=args.models,
            limits=args.tenants,
            attempts=args.attempts,
            visibility_s=args.part_timeout_s,
            keep_days=args.keep_days,
            part=args.part,
        )
        self.config_key = self._stored(f"{name}-config", "config/jobs", self._settings)
        worked_on = {model: entry for model, entry in args.models.items() if entry.by != "cluster"}
        self.grants = Grants(
            names=self._names,
            table=table.table_name,
            models=args.models,
            control_queue=self.control_queue,
            data_key_arn=args.defaults.data_key_arn,
        )
        self.api = self._function(
            "api", "Takes and shows jobs", args.package, self.grants.api(), timeout_s=20
        )
        control = self._function(
            "control",
            "Makes jobs of files and results of jobs",
            args.files_package,
            self.grants.control(),
            timeout_s=_CONTROL_TIMEOUT_S,
            memory_mb=2048,
            reserved_concurrency=10,
        )
        worker = self._function(
            "worker",
            "Works on parts of jobs",
            args.package,
            self.grants.worker(),
            timeout_s=args.part_timeout_s,
            memory_mb=512,
            reserved_concurrency=args.workers * max(1, len(worked_on)),
        )
        self._mapping("control", self.control_queue, control, batch_size=10, at_once=10)
        for model, entry in worked_on.items():
            self._mapping(model, entry.queue, worker, batch_size=1, at_once=args.workers)
        jobs_events.rules(
            name, names=self._names, tags=self._tags, queue_arn=self.control_queue.arn, opts=self._child
        )
        self.integration = self._integration()
        self.register_outputs({"table_name": self.table_name, "config_key": self.config_key})

    def config_of(self, model: str) -> pulumi.Output[str]:
        """Key of settings that know one model alone, for a worker outside of this component: it starts anew
        where they change, and so not where another model moves."""
        settings = replace(self._settings, models={model: self._args.models[model]})
        return self._stored(f"{self._name}-{model}-config", f"config/jobs-{model}", settings)

    def _stored(self, name: str, prefix: str, settings: JobsSettings) -> pulumi.Output[str]:
        return settings_object(
            name,
            settings,
            prefix=prefix,
            bucket=self._args.data_bucket,
            data_key_arn=self._args.defaults.data_key_arn,
            tags=self._tags,
            opts=self._child,
        )

    def _control_queue(self) -> JobsQueue:
        """Events of this environment's own rules may be put in; the queue's name is known beforehand."""
        arn = self._names.arn("sqs", f"{self._names.prefix}-job-{_CONTROL}")
        return JobsQueue(
            f"{self._name}-control-queue",
            JobsQueueArgs(
                names=self._names,
                tags=self._tags,
                model=_CONTROL,
                visibility_timeout_s=_CONTROL_TIMEOUT_S,
                require_tls=self._args.require_tls,
                data_key_arn=self._args.defaults.data_key_arn,
                senders=[
                    {
                        "Sid": "Events",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": arn,
                        "Condition": {"ArnLike": {"aws:SourceArn": jobs_events.rule_arns(self._names)}},
                    }
                ],
            ),
            opts=self._child,
        )

    def _function(
        self,
        role_name: str,
        description: str,
        package: Package,
        statements: pulumi.Output[list[iam.Statement]],
        *,
        timeout_s: int,
        memory_mb: int = 256,
        reserved_concurrency: int = 10,
    ) -> Function:
        return Function(
            f"{self._name}-{role_name}",
            FunctionArgs(
                defaults=self._args.defaults,
                component="jobs",
                role_name=f"jobs-{role_name}",
                description=description,
                package=package,
                handler=f"serving.jobs_{role_name}_app.handler",
                environment={"DATA_BUCKET": self._args.data_bucket, "JOBS_CONFIG": self.config_key},
                statements=statements,
                timeout_s=timeout_s,
                memory_mb=memory_mb,
                reserved_concurrency=reserved_concurrency,
            ),
            opts=self._child,
        )

    def _mapping(
        self, role: str, queue: JobsQueue, function: Function, *, batch_size: int, at_once: int
    ) -> None:
        aws.lambda_.EventSourceMapping(
            f"{self._name}-{role}-messages",
            event_source_arn=queue.arn,
            function_name=function.alias_arn,
            batch_size=batch_size,
            function_response_types=["ReportBatchItemFailures"],
            # Two at least: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
            scaling_config={"maximum_concurrency": max(2, at_once)},
            tags=self._tags,
            opts=self._child,
        )

    def _integration(self) -> pulumi.Output[Json]:
        role = iam.role(
            f"{self._name}-gateway",
            trust_policy=iam.trust("apigateway.amazonaws.com", self._names.account_id),
            statements=self.api.alias_arn.apply(
                lambda arn: [iam.allow("Invoke", ["lambda:InvokeFunction"], [arn])]
            ),
            description="API Gateway calls the jobs API",
            tags=self._tags,
            opts=self._child,
        )
        return pulumi.Output.all(self.api.invoke_arn, role.arn).apply(
            lambda known: lambda_integration(known[0], known[1])
        )
