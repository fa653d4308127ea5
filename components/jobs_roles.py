"""What each function of the jobs may do, and nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import iam
from components.jobs_queue import JobsQueue
from components.names import Names

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
    queues: Sequence[JobsQueue]
    """The models' queues."""
    control_queue: JobsQueue
    """The control function's queue."""
    data_key_arn: pulumi.Input[str]
    """Key of the table, the queues and the bucket."""
    functions: Sequence[pulumi.Input[str]]
    """ARNs of the live aliases of models."""

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
                iam.allow(
                    "Send",
                    ["sqs:SendMessage"],
                    [*known["queues"], *known["dead"], known["control"], known["control_dead"]],
                ),
                iam.allow("TellTheWorld", ["events:PutEvents"], [bus]),
            ]

        return self._with(statements)

    def worker(self) -> pulumi.Output[list[iam.Statement]]:
        """The worker function."""

        def statements(known: Mapping[str, Any]) -> list[iam.Statement]:
            invoked = [iam.allow("AskModels", ["lambda:InvokeFunction"], known["functions"])]
            return [
                *self._base(known, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
                iam.allow(
                    "Parts", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [self._objects("work")]
                ),
                iam.allow("Consume", _CONSUME, known["queues"]),
                iam.allow("Send", ["sqs:SendMessage"], [*known["queues"], *known["dead"], known["control"]]),
                *(invoked if known["functions"] else ()),
            ]

        return self._with(statements)

    def _objects(self, folder: str) -> str:
        return f"{self.names.bucket_arn('data')}/{folder}/*"

    def _base(self, known: Mapping[str, Any], table_actions: list[str]) -> list[iam.Statement]:
        table = self.names.arn("dynamodb", f"table/{known['table']}")
        return [
            iam.allow("Config", ["s3:GetObject"], [self._objects("config")]),
            iam.allow("Jobs", [*table_actions, "dynamodb:Query"], [table, f"{table}/index/*"]),
            iam.allow("Encrypt", ["kms:GenerateDataKey"], [known["key"]]),
        ]

    def _with(self, statements: Any) -> pulumi.Output[list[iam.Statement]]:
        return pulumi.Output.all(
            table=self.table,
            key=self.data_key_arn,
            queues=pulumi.Output.all(*(queue.arn for queue in self.queues)),
            dead=pulumi.Output.all(*(queue.dead_letters_arn for queue in self.queues)),
            control=self.control_queue.arn,
            control_dead=self.control_queue.dead_letters_arn,
            functions=pulumi.Output.all(*self.functions),
        ).apply(statements)
