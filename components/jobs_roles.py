"""What each function and worker of the jobs may do, and nothing beside it.

Who works for all models names them by the beginning of their names, which are this environment's: a role's
policies have room for 10,240 characters together, and lists of some forty models do not fit.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import iam
from components.function import LIVE
from components.jobs_queue import JobsQueue, dead_letters_prefix, queue_prefix
from components.jobs_settings import JobModel
from naming import Names

_CONSUME = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ChangeMessageVisibility",
]


@dataclass(frozen=True, kw_only=True)
class Grants:
    """The resources that statements name."""

    names: Names
    table: pulumi.Input[str]
    """The table of jobs."""
    models: Mapping[str, JobModel]
    """Model name -> how its jobs are worked on."""
    control_queue: JobsQueue
    """The control function's queue."""
    data_key_arn: pulumi.Input[str]
    """Key of the table, the queues and the bucket."""

    def api(self) -> pulumi.Output[list[iam.Statement]]:
        """The jobs API: its addresses for clients are signed with its own role's rights."""

        def statements(known: Mapping[str, Any]) -> list[iam.Statement]:
            return [
                *self._base(known, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
                iam.allow("WriteInputs", ["s3:PutObject"], [self._objects("input")]),
                iam.allow("ReadResults", ["s3:GetObject"], [self._objects("output")]),
                iam.allow("Send", ["sqs:SendMessage"], known["queues"]),
            ]

        return self._with(statements)

    def control(self) -> pulumi.Output[list[iam.Statement]]:
        """The control function."""

        def statements(known: Mapping[str, Any]) -> list[iam.Statement]:
            bucket, inputs = self.names.bucket_arn("data"), {"StringLike": {"s3:prefix": "input/*"}}
            bus = self.names.arn("events", "event-bus/default")
            table = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Scan"]
            return [
                *self._base(known, table),
                iam.allow("ReadInputs", ["s3:GetObject", "s3:GetObjectVersion"], [self._objects("input")]),
                # Without it S3 says "forbidden" of an object that was deleted.
                iam.allow("ListInputs", ["s3:ListBucket"], [bucket], inputs),
                iam.allow("Parts", ["s3:GetObject", "s3:PutObject"], [self._objects("work")]),
                iam.allow(
                    "WriteResults", ["s3:PutObject", "s3:AbortMultipartUpload"], [self._objects("output")]
                ),
                iam.allow("Consume", _CONSUME, [known["control"]]),
                iam.allow("Send", ["sqs:SendMessage"], [self._every(queue_prefix), self._dead_letters()]),
                iam.allow("TellTheWorld", ["events:PutEvents"], [bus]),
            ]

        return self._with(statements)

    def worker(self) -> pulumi.Output[list[iam.Statement]]:
        """The worker function, which works for every model but those of the cluster."""
        kinds = {model.by for model in self.models.values()}
        functions = self.names.arn("lambda", f"function:{self.names.function('model-*')}:{LIVE}")
        endpoints = self.names.arn("sagemaker", f"endpoint/{self.names.prefix}-*")
        asks = [
            iam.allow(sid, [action], [models])
            for kind, sid, action, models in (
                ("function", "AskModels", "lambda:InvokeFunction", functions),
                ("endpoint", "AskEndpoints", "sagemaker:InvokeEndpoint", endpoints),
                ("async-endpoint", "AskEndpointsLater", "sagemaker:InvokeEndpointAsync", endpoints),
            )
            if kind in kinds
        ]

        def statements(known: Mapping[str, Any]) -> list[iam.Statement]:
            return [*self._worker(known, "work/*", [self._dead_letters()]), *asks]

        mine = [model.queue for model in self.models.values() if model.by != "cluster"]
        return self._with(statements, worked_on=mine)

    def cluster_worker(self, model: str) -> pulumi.Output[list[iam.Statement]]:
        """The worker of one model of the cluster: its queue, its parts and the table, and nobody else's."""

        def statements(known: Mapping[str, Any]) -> list[iam.Statement]:
            return [
                *self._worker(known, f"work/{model}/*", known["worked_on_dead"]),
                iam.allow("Decrypt", ["kms:Decrypt"], [known["key"]]),
            ]

        return self._with(statements, worked_on=[self.models[model].queue])

    def _worker(
        self, known: Mapping[str, Any], parts: str, dead_letters: Sequence[str]
    ) -> list[iam.Statement]:
        bucket, queues = self.names.bucket_arn("data"), known["worked_on"]
        objects, inside = [f"{bucket}/{parts}"], {"StringLike": {"s3:prefix": parts}}
        return [
            *self._base(known, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
            iam.allow("Parts", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], objects),
            # Whether rows are gone, or an asynchronous answer is not there yet: S3 says "forbidden" else.
            iam.allow("FindParts", ["s3:ListBucket"], [bucket], inside),
            # Parts of a job come back to the queue that they are from.
            *([iam.allow("Work", [*_CONSUME, "sqs:SendMessage"], queues)] if queues else ()),
            iam.allow("Send", ["sqs:SendMessage"], [*dead_letters, known["control"]]),
        ]

    def _dead_letters(self) -> str:
        return self._every(dead_letters_prefix)

    def _every(self, prefix: Callable[[Names], str]) -> str:
        """All queues of one kind: a list of them would be longer than a role's policies may be together."""
        return self.names.arn("sqs", f"{prefix(self.names)}*")

    def _objects(self, folder: str) -> str:
        return f"{self.names.bucket_arn('data')}/{folder}/*"

    def _base(self, known: Mapping[str, Any], table_actions: list[str]) -> list[iam.Statement]:
        table = self.names.arn("dynamodb", f"table/{known['table']}")
        return [
            iam.allow("Config", ["s3:GetObject"], [self._objects("config")]),
            iam.allow("Jobs", [*table_actions, "dynamodb:Query"], [table, f"{table}/index/*"]),
            iam.allow("Encrypt", ["kms:GenerateDataKey"], [known["key"]]),
        ]

    def _with(
        self,
        statements: Callable[[Mapping[str, Any]], list[iam.Statement]],
        worked_on: Sequence[JobsQueue] = (),
    ) -> pulumi.Output[list[iam.Statement]]:
        """`statements` of what is known of the resources, `worked_on` among them."""
        queues = [model.queue for model in self.models.values()]
        return pulumi.Output.all(
            table=self.table,
            key=self.data_key_arn,
            queues=pulumi.Output.all(*(queue.arn for queue in queues)),
            worked_on=pulumi.Output.all(*(queue.arn for queue in worked_on)),
            worked_on_dead=pulumi.Output.all(*(queue.dead_letters_arn for queue in worked_on)),
            control=self.control_queue.arn,
        ).apply(statements)
