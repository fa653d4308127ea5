"""Results and captured requests as tables that SQL can ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from naming import Names

_JSON_FORMAT = {
    "input_format": "org.apache.hadoop.mapred.TextInputFormat",
    "output_format": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "serde": "org.openx.data.jsonserde.JsonSerDe",
}
_PARQUET_FORMAT = {
    "input_format": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "output_format": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "serde": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
}
_RESULT_COLUMNS = {"row": "bigint", "id": "string", "error": "string", "outputs": "string"}
_CAPTURE_COLUMNS = {
    "request_id": "string",
    "time": "string",
    "version": "string",
    "tenant": "string",
    "request": "string",
    "response": "string",
}


@dataclass(frozen=True, kw_only=True)
class AnalyticsArgs:
    """Arguments of `Analytics`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of the database and the workgroup."""
    data_bucket: pulumi.Input[str]
    """Bucket with `output/` and `capture/`; answers of queries go to its `queries/`."""
    data_key_arn: pulumi.Input[str]
    """Key that encrypts the answers."""
    models: Sequence[str]
    """Names of the models: values of the partition `model`."""
    tenants: Sequence[str]
    """Names of the tenants: values of the partition `tenant`."""
    scan_limit_mb: int = 10_240
    """MB that one query may read; a query that would read more is ended."""
    since: str = "2025-01-01"
    """First day that there can be data of, as a partition."""


class Analytics(pulumi.ComponentResource):
    """A Glue database over results and captured requests, and an Athena workgroup that asks it.

    Partitions are worked out from the folders' names (partition projection): no crawler runs, and a result is
    there as soon as its file is. https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html
    """

    database_name: pulumi.Output[str]
    workgroup_name: pulumi.Output[str]

    def __init__(self, name: str, args: AnalyticsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:analytics:Analytics", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        database = aws.glue.CatalogDatabase(
            f"{name}-database",
            name=f"{args.names.prefix}-inference".replace("-", "_"),
            description="Results of jobs and captured requests",
            tags=args.tags,
            opts=self._child,
        )
        for kind, form in (("jsonl", _JSON_FORMAT), ("parquet", _PARQUET_FORMAT)):
            self._table(database, f"results_{kind}", f"output/{kind}", _RESULT_COLUMNS, form, tenants=True)
        self._table(database, "capture", "capture", _CAPTURE_COLUMNS, _JSON_FORMAT, tenants=False)
        workgroup = aws.athena.Workgroup(
            f"{name}-workgroup",
            name=args.names.prefix,
            description="Asks the platform's results",
            configuration={
                "enforce_workgroup_configuration": True,
                "publish_cloudwatch_metrics_enabled": True,
                "bytes_scanned_cutoff_per_query": args.scan_limit_mb * 10**6,
                "result_configuration": {
                    "output_location": pulumi.Output.concat("s3://", args.data_bucket, "/queries/"),
                    "encryption_configuration": {
                        "encryption_option": "SSE_KMS",
                        "kms_key_arn": args.data_key_arn,
                    },
                },
            },
            force_destroy=True,  # a history of queries holds no data of its own
            tags=args.tags,
            opts=self._child,
        )
        self.database_name, self.workgroup_name = database.name, workgroup.name
        self.register_outputs({"database_name": self.database_name, "workgroup_name": self.workgroup_name})

    def _table(
        self,
        database: aws.glue.CatalogDatabase,
        table: str,
        folder: str,
        columns: Mapping[str, str],
        form: Mapping[str, str],
        *,
        tenants: bool,
    ) -> None:
        args = self._args
        location = pulumi.Output.concat("s3://", args.data_bucket, f"/{folder}/")
        values = {"model": args.models, **({"tenant": args.tenants} if tenants else {})}
        path = "".join(f"{key}=${{{key}}}/" for key in (*values, "dt"))
        projection = {
            "projection.enabled": "true",
            **{f"projection.{key}.type": "enum" for key in values},
            **{f"projection.{key}.values": ",".join(sorted(known)) for key, known in values.items()},
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "projection.dt.range": f"{args.since},NOW",
        }
        aws.glue.CatalogTable(
            f"{self._name}-{table.replace('_', '-')}",
            database_name=database.name,
            name=table,
            table_type="EXTERNAL_TABLE",
            parameters={
                "EXTERNAL": "TRUE",
                **projection,
                "storage.location.template": pulumi.Output.concat(location, path),
            },
            partition_keys=[{"name": key, "type": "string"} for key in (*values, "dt")],
            storage_descriptor={
                "location": location,
                "input_format": form["input_format"],
                "output_format": form["output_format"],
                "ser_de_info": {"serialization_library": form["serde"]},
                "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
            },
            opts=self._child,
        )
