"""S3: buckets, the sibling resources that configure them, and objects."""

import base64
from pathlib import Path
from typing import Any

from local_aws.tables.form import Call, Run, Type, call, held
from local_aws.values import Asset, Props


def _empty(run: Run, bucket: Props) -> None:
    if not bucket.get("forceDestroy"):
        return  # S3 refuses a bucket that is not empty
    while True:
        listed = run("list_object_versions", Bucket=bucket["bucket"])
        entries = [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]
        if not entries:
            return
        objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
        run("delete_objects", Bucket=bucket["bucket"], Delete={"Objects": objects, "Quiet": True})


def _object(inputs: Props) -> Props:
    body: Any = inputs.get("content", "")
    source = inputs.get("source")
    if isinstance(source, Asset):
        body = Path(source.source["path"]).read_bytes() if "path" in source.source else source.source["text"]
    elif "contentBase64" in inputs:
        body = base64.b64decode(inputs["contentBase64"])
    return inputs | {"body": body}


def _events(inputs: Props) -> Props:
    """Filters by prefix and suffix as the rules that S3 takes."""

    def target(entry: Props) -> Props:
        affixes = {"Prefix": entry.get("filterPrefix"), "Suffix": entry.get("filterSuffix")}
        rules = [{"Name": name, "Value": value} for name, value in affixes.items() if value]
        return entry | ({"filter": {"key": {"filterRules": rules}}} if rules else {})

    kinds = ("lambdaFunctions", "queues", "topics")
    return (
        inputs
        | {kind: [target(entry) for entry in inputs[kind]] for kind in kinds if inputs.get(kind)}
        | {"eventbridge": {} if inputs.get("eventbridge") else None}
    )


def _setting(
    kind: str, put: str, get: str, delete: str | Call, wrap: str = "", result: str = "", **more: Any
) -> tuple[str, Type]:
    """A setting of a bucket: one operation each to put, get and delete it."""
    return held(
        f"s3:{kind}",
        "s3",
        "{bucket}",
        put=call(put, wrap=wrap),
        read=call(get, result or wrap),
        delete=delete,
        **more,
    )


# fmt: off
TABLE = dict((
    held("s3:Bucket", "s3", "{bucket}", create=call("create_bucket", on="bucket objectLockEnabled"),
         read="head_bucket", delete="delete_bucket", clear=_empty,
         facts={"tags": call("get_bucket_tagging", "TagSet")}, tag="put_bucket_tagging", untag="",
         renames={"objectLockEnabled": "ObjectLockEnabledForBucket"},
         outputs={"arn": "arn:aws:s3:::{bucket}", "bucketDomainName": "{bucket}.s3.amazonaws.com",
                  "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
                  "bucketRegion": "{region}", "hostedZoneId": "Z3AQBSTGFYJSTF"}),
    _setting("BucketVersioning", "put_bucket_versioning", "get_bucket_versioning",
             call("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
             result="{versioningConfiguration: @}"),
    _setting("BucketServerSideEncryptionConfiguration", "put_bucket_encryption", "get_bucket_encryption",
             "delete_bucket_encryption", "ServerSideEncryptionConfiguration"),
    _setting("BucketPublicAccessBlock", "put_public_access_block", "get_public_access_block",
             "delete_public_access_block", "PublicAccessBlockConfiguration"),
    _setting("BucketOwnershipControls", "put_bucket_ownership_controls", "get_bucket_ownership_controls",
             "delete_bucket_ownership_controls", "OwnershipControls"),
    _setting("BucketLifecycleConfiguration", "put_bucket_lifecycle_configuration",
             "get_bucket_lifecycle_configuration", "delete_bucket_lifecycle", "LifecycleConfiguration", "@"),
    _setting("BucketPolicy", "put_bucket_policy", "get_bucket_policy", "delete_bucket_policy"),
    _setting("BucketLogging", "put_bucket_logging", "get_bucket_logging",
             call("put_bucket_logging", BucketLoggingStatus={}), "BucketLoggingStatus.LoggingEnabled",
             "LoggingEnabled"),
    _setting("BucketNotification", "put_bucket_notification_configuration",
             "get_bucket_notification_configuration",
             call("put_bucket_notification_configuration", NotificationConfiguration={}),
             "NotificationConfiguration", "@", prepare=_events,
             renames={"eventbridge": "EventBridgeConfiguration", "queues": "QueueConfigurations",
                      "lambdaFunctions": "LambdaFunctionConfigurations", "topics": "TopicConfigurations"}),
    held("s3:BucketObjectv2", "s3", "{key}", put="put_object", read="head_object", delete="delete_object",
         prepare=_object, renames={"kmsKeyId": "SSEKMSKeyId"}, tag="put_object_tagging", untag="",
         outputs={"arn": "arn:aws:s3:::{bucket}/{key}"}),
))
