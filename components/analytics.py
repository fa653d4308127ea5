"""Results and captured requests as tables that SQL can ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.sagemaker_hosting import VARIANT
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
_RECORD_COLUMNS = {
    "version": "string",
    "at": "double",
    "until": "double",
    "rows": "bigint",
    "inputs": "string",
    "outputs": "string",
    "raw": "string",
}
"""What `serving.capture` writes; what is an object there is JSON text here."""
_SIDE = "struct<observedcontenttype:string,mode:string,data:string,encoding:string>"
_ENDPOINT_COLUMNS = {
    "capturedata": f"struct<endpointinput:{_SIDE},endpointoutput:{_SIDE}>",
    "eventmetadata": "struct<eventid:string,inferencetime:string>",
}
"""What SageMaker writes, in small letters, as this SerDe compares them:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html"""


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
        self._database, by_day = database, _days("yyyy-MM-dd", args.since)
        whose = {"model": _enum(args.models), "tenant": _enum(args.tenants)}
        for kind, form in (("jsonl", _JSON_FORMAT), ("parquet", _PARQUET_FORMAT)):
            path = f"output/{kind}/model=${{model}}/tenant=${{tenant}}/dt=${{dt}}/"
            self._table(f"results_{kind}", path, _RESULT_COLUMNS, form, whose | {"dt": by_day})
        # Firehose and SageMaker put an hour's files into yyyy/MM/dd/HH/.
        by_day = _days("yyyy/MM/dd", args.since.replace("-", "/"))
        whose = {"model": _enum(args.models)}
        keys = whose | {"dt": by_day}
        self._table("capture", "capture/${model}/${dt}/", _RECORD_COLUMNS, _JSON_FORMAT, keys)
        # A query names the endpoint, so that a model that moves changes no table.
        keys = whose | {"endpoint": {"type": "injected"}, "dt": by_day}
        path = f"capture/${{model}}/${{endpoint}}/{VARIANT}/${{dt}}/"
        self._table("capture_sagemaker", path, _ENDPOINT_COLUMNS, _JSON_FORMAT, keys)
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
        table: str,
        path: str,
        columns: Mapping[str, str],
        form: Mapping[str, str],
        keys: Mapping[str, Mapping[str, str]],
    ) -> None:
        """A table over the folders that `path` gives for the values of its partitions."""
        bucket = pulumi.Output.concat("s3://", self._args.data_bucket, "/")
        location = pulumi.Output.concat(bucket, path.partition("$")[0].rpartition("/")[0], "/")
        projection = {
            f"projection.{key}.{name}": value
            for key, values in keys.items()
            for name, value in values.items()
        }
        aws.glue.CatalogTable(
            f"{self._name}-{table.replace('_', '-')}",
            database_name=self._database.name,
            name=table,
            table_type="EXTERNAL_TABLE",
            parameters={
                "EXTERNAL": "TRUE",
                "projection.enabled": "true",
                **projection,
                "storage.location.template": pulumi.Output.concat(bucket, path),
            },
            partition_keys=[{"name": key, "type": "string"} for key in keys],
            storage_descriptor={
                "location": location,
                "input_format": form["input_format"],
                "output_format": form["output_format"],
                "ser_de_info": {"serialization_library": form["serde"]},
                "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
            },
            opts=self._child,
        )


def _enum(values: Sequence[str]) -> dict[str, str]:
    """A partition of known values."""
    return {"type": "enum", "values": ",".join(sorted(values))}


def _days(form: str, since: str) -> dict[str, str]:
    """A partition for each day until now."""
    return {"type": "date", "format": form, "range": f"{since},NOW"}
