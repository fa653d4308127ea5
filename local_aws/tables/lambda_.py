"""Lambda: functions from S3 or a local archive, versions, aliases and permissions."""

import io
import zipfile
from pathlib import Path

from local_aws.tables.form import Run, call, held, step
from local_aws.values import Asset, Props

_CODE = "code s3Bucket s3Key s3ObjectVersion sourceCodeHash imageUri architectures"
_SETTINGS = (
    "deadLetterConfig description environment ephemeralStorage fileSystemConfig handler imageConfig "
    "kmsKeyArn layers loggingConfig memorySize role runtime snapStart timeout tracingConfig vpcConfig"
)
_INVOKE = "arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions"


def _code(inputs: Props) -> Props:
    """A local archive as the bytes that Lambda takes."""
    archive = inputs.get("code")
    return inputs | {"zipFile": _zip(archive)} if isinstance(archive, Asset) else inputs


def _zip(archive: Asset) -> bytes:
    path = Path(archive.source.get("path", ""))
    if "path" in archive.source and path.is_file():
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        if "path" in archive.source:
            for file in sorted(item for item in path.rglob("*") if item.is_file()):
                out.write(file, file.relative_to(path))
        for name, asset in archive.source.get("assets", {}).items():
            text = asset.source.get("text")
            out.writestr(name, Path(asset.source["path"]).read_bytes() if text is None else text)
    return buffer.getvalue()


def _publish(run: Run, function: Props, old: Props) -> None:
    if function.get("publish"):
        run("publish_version", FunctionName=function["name"])


def _concurrency(run: Run, function: Props, old: Props) -> None:
    limit = function.get("reservedConcurrentExecutions")
    if limit is None or limit == -1:
        run("delete_function_concurrency", FunctionName=function["name"])
    else:
        run("put_function_concurrency", FunctionName=function["name"], ReservedConcurrentExecutions=limit)


# fmt: off
TABLE = dict((
    held("lambda:Function", "lambda", "{name}", create=call("create_function", wrap="Code"), prepare=_code,
         then=(step(_concurrency, on="reservedConcurrentExecutions"),),
         update=(call("update_function_code", on=_CODE + " zipFile"),
                 call("update_function_configuration", on=_SETTINGS),
                 step(_publish, on=f"{_CODE} {_SETTINGS} publish")),
         read=call("get_function", "Configuration"), delete="delete_function",
         facts={"version": call("list_versions_by_function", "Versions[-1].Version"),
                "reservedConcurrentExecutions": call("get_function_concurrency",
                                                     "ReservedConcurrentExecutions")},
         renames={"code": (), "sourceCodeHash": "CodeSha256"},
         outputs={"qualifiedArn": "{arn}:{version}", "invokeArn": _INVOKE + "/{arn}/invocations",
                  "qualifiedInvokeArn": _INVOKE + "/{arn}:{version}/invocations"},
         local="code publish skipDestroy",
         fresh="version qualifiedArn qualifiedInvokeArn lastModified codeSha256"),
    held("lambda:Alias", "lambda", "{arn}", create="create_alias", update=("update_alias",), read="get_alias",
         delete="delete_alias", renames={"name": "Name"},
         outputs={"invokeArn": _INVOKE + "/{arn}/invocations"}),
    held("lambda:Permission", "lambda", "{statementId}", create="add_permission",
         read=call("get_policy", "Policy && contains(Policy, '\"{statementId}\"') || `null`",
                   Qualifier="{qualifier}"),
         delete=call("remove_permission", Qualifier="{qualifier}")),
    held("lambda:EventSourceMapping", "lambda", "{UUID}", create="create_event_source_mapping",
         update=("update_event_source_mapping",), read="get_event_source_mapping",
         delete="delete_event_source_mapping", replace="eventSourceArn",
         # A function is named by its alias's ARN and read back by the function's alone.
         unread="functionName tags", renames={"id": "UUID"},
         outputs={"arn": "arn:aws:lambda:{region}:{account}:event-source-mapping:{id}"}),
    held("lambda:FunctionEventInvokeConfig", "lambda", "{functionName}",
         put="put_function_event_invoke_config",
         read=call("get_function_event_invoke_config", Qualifier="{qualifier}"),
         delete=call("delete_function_event_invoke_config", Qualifier="{qualifier}")),
))
