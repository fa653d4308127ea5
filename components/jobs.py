"""Batch and asynchronous inference: files and requests in, results out, every row accounted for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam, jobs_roles
from components.api_document import Json, lambda_integration
from components.function import Function, FunctionArgs, FunctionDefaults
from components.jobs_queue import JobsQueue, JobsQueueArgs
from components.jobs_table import JobsTable, JobsTableArgs
from components.packages import Package

_CONTROL = "_control"
"""Stands for a model's name in the control queue's; no model's name has an underscore."""
_CONTROL_TIMEOUT_S = 900
"""The longest that Lambda knows: the largest file is cut in one go, or its job fails."""


@dataclass(frozen=True, kw_only=True)
class JobModel:
    """How the jobs of one model are worked on: by asking the function that serves it."""

    queue: JobsQueue
    """Where its jobs wait."""
    function_arn: pulumi.Input[str]
    """ARN of the live alias of the function that serves it."""


@dataclass(frozen=True, kw_only=True)
class JobLimits:
    """What one tenant may have."""

    active_jobs: int
    """Jobs that are not finished."""
    parts_in_flight: int
    """Parts in the queue of one model at once; more wait their turn."""


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Where a file is cut: a part ends with the row that reaches one of these."""

    rows: int = 1000
    bytes: int = 2 * 2**20


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
    """Model name -> how its jobs are worked on."""
    tenants: Mapping[str, JobLimits]
    """Tenant name -> its limits."""
    part: PartSize = PartSize()
    """Where a file is cut."""
    part_timeout_s: int = 300
    """How long the worker function has for a part. Its queues hide a message for as long at least."""
    attempts: int = 3
    """How often a part is tried before its rows get an error and the dead-letter queue its message."""
    workers: int = 10
    """Most parts that the worker function works on at once, for each model."""
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
    """Key of the settings in the data bucket, which workers outside this component read, too."""
    table_name: pulumi.Output[str]
    control_queue: JobsQueue

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
        self.config_key = self._config()
        grants = jobs_roles.Grants(
            names=self._names,
            table=table.table_name,
            queues=[model.queue for model in args.models.values()],
            control_queue=self.control_queue,
            data_key_arn=args.defaults.data_key_arn,
            functions=[model.function_arn for model in args.models.values()],
        )
        self.api = self._function("api", "Takes and shows jobs", args.package, grants.api(), timeout_s=20)
        control = self._function(
            "control",
            "Makes jobs of files and results of jobs",
            args.files_package,
            grants.control(),
            timeout_s=_CONTROL_TIMEOUT_S,
            memory_mb=2048,
            reserved_concurrency=10,
        )
        worker = self._function(
            "worker",
            "Works on parts of jobs",
            args.package,
            grants.worker(),
            timeout_s=args.part_timeout_s,
            memory_mb=512,
            reserved_concurrency=args.workers * max(1, len(args.models)),
        )
        self._mapping("control", self.control_queue, control, batch_size=10, at_once=10)
        for model, entry in args.models.items():
            self._mapping(model, entry.queue, worker, batch_size=1, at_once=args.workers)
        self._events()
        self.integration = self._integration()
        self.register_outputs({"table_name": self.table_name, "config_key": self.config_key})

    def _control_queue(self) -> JobsQueue:
        """Events of this environment's own rules may be put in; the queue's name is known beforehand."""
        arn = self._names.arn("sqs", f"{self._names.prefix}-job-{_CONTROL}")
        rules = self._names.arn("events", f"rule/{self._names.prefix}-jobs-*")
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
                        "Condition": {"ArnLike": {"aws:SourceArn": rules}},
                    }
                ],
            ),
            opts=self._child,
        )

    def _config(self) -> pulumi.Output[str]:
        """What all functions of this component know, as an object: its key changes with its content, so a
        function that runs keeps what it began with."""
        args = self._args

        def document(known: Mapping[str, Any]) -> str:
            return json.dumps(
                {
                    **known,
                    "limits": {tenant: asdict(limits) for tenant, limits in args.tenants.items()},
                    "attempts": args.attempts,
                    "visibility_s": args.part_timeout_s,
                    "keep_days": args.keep_days,
                    "part": asdict(args.part),
                },
                sort_keys=True,
            )

        content = pulumi.Output.all(
            table=self.table_name,
            control_url=self.control_queue.url,
            dead_letters_url=self.control_queue.dead_letters_url,
            routes=pulumi.Output.all(
                **{
                    model: pulumi.Output.all(
                        queue_url=entry.queue.url,
                        dead_letters_url=entry.queue.dead_letters_url,
                        function=entry.function_arn,
                    )
                    for model, entry in args.models.items()
                }
            ),
        ).apply(document)
        stored = aws.s3.BucketObjectv2(
            f"{self._name}-config",
            bucket=args.data_bucket,
            key=content.apply(_config_key),
            content=content,
            content_type="application/json",
            kms_key_id=args.defaults.data_key_arn,
            server_side_encryption="aws:kms",
            tags=self._tags,
            opts=self._child,
        )
        return stored.key

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

    def _events(self) -> None:
        """Files that come, and the clock for what fell between two steps."""
        created = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [self._names.bucket("data")]},
                "object": {"key": [{"prefix": "input/"}]},
            },
        }
        self._rule("files", "Files become jobs", event_pattern=json.dumps(created))
        sweep = json.dumps({"sweep": True})
        self._rule("sweep", "Stalled jobs go on", schedule_expression="rate(5 minutes)", message=sweep)

    def _rule(
        self,
        role: str,
        description: str,
        *,
        message: str | None = None,
        event_pattern: str | None = None,
        schedule_expression: str | None = None,
    ) -> None:
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-{role}",
            name=f"{self._names.prefix}-jobs-{role}",
            description=description,
            tags=self._tags,
            event_pattern=event_pattern,
            schedule_expression=schedule_expression,
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-{role}-target",
            rule=rule.name,
            target_id="control",
            arn=self.control_queue.arn,
            input=message,
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


def _config_key(content: str) -> str:
    return f"config/jobs-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
