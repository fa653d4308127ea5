"""The table of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from naming import Names


@dataclass(frozen=True, kw_only=True)
class JobsTableArgs:
    """Arguments of `JobsTable`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of the table."""
    data_key_arn: pulumi.Input[str]
    """Key that encrypts it."""
    protect: bool = True
    """Whether it refuses deletion."""


class JobsTable(pulumi.ComponentResource):
    """An encrypted table on demand, with recovery to any second and items that expire.

    The index `active` has the jobs at work only, for an item without `share` is in no index; `tenant` has all
    jobs of a tenant by age.
    """

    table_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: JobsTableArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:jobs_table:JobsTable", name, None, opts)
        attributes = {"pk": "S", "sk": "S", "share": "S", "tenant": "S", "created": "N"}
        table = aws.dynamodb.Table(
            f"{name}-table",
            name=f"{args.names.prefix}-jobs",
            billing_mode="PAY_PER_REQUEST",
            attributes=[{"name": key, "type": kind} for key, kind in attributes.items()],
            hash_key="pk",
            range_key="sk",
            global_secondary_indexes=[
                {"name": index, "hash_key": key, "range_key": "created", "projection_type": "ALL"}
                for index, key in (("active", "share"), ("tenant", "tenant"))
            ],
            ttl={"attribute_name": "expires", "enabled": True},
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": args.data_key_arn},
            deletion_protection_enabled=args.protect,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.table_name, self.arn = table.name, table.arn
        self.register_outputs({"table_name": self.table_name})
