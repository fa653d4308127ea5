"""S3: buckets, the sibling resources that configure them, and objects."""

import base64
from pathlib import Path
from typing import Any

from local_aws.tables.form import Call, Run, Type, call
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


def _setting(put: str, get: str, delete: str | Call, wrap: str = "", result: str = "", **more: Any) -> Type:
    """A setting of a bucket: one operation each to put, get and delete it."""
    gone = call(delete) if isinstance(delete, str) else delete
    return Type(
        service="s3", id="{bucket}", put=call(put, wrap=wrap), read=call(get, result), delete=gone, **more
    )


TABLE = {
    "aws:s3/bucket:Bucket": Type(
        service="s3",
        id="{bucket}",
        create=call("create_bucket", on="bucket objectLockEnabled"),
        read=call("head_bucket"),
        facts={"tags": call("get_bucket_tagging", "TagSet")},
        delete=call("delete_bucket"),
        renames={"objectLockEnabled": "ObjectLockEnabledForBucket"},
        clear=_empty,
        outputs={
            "arn": "arn:aws:s3:::{bucket}",
            "bucketDomainName": "{bucket}.s3.amazonaws.com",
            "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
            "bucketRegion": "{region}",
            "hostedZoneId": "Z3AQBSTGFYJSTF",
        },
        tag=call("put_bucket_tagging"),
        untag=None,
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _setting(
        "put_bucket_versioning",
        "get_bucket_versioning",
        call("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
        result="{versioningConfiguration: @}",
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _setting(
        "put_bucket_encryption",
        "get_bucket_encryption",
        "delete_bucket_encryption",
        wrap="ServerSideEncryptionConfiguration",
        result="ServerSideEncryptionConfiguration",
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _setting(
        "put_public_access_block",
        "get_public_access_block",
        "delete_public_access_block",
        wrap="PublicAccessBlockConfiguration",
        result="PublicAccessBlockConfiguration",
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _setting(
        "put_bucket_ownership_controls",
        "get_bucket_ownership_controls",
        "delete_bucket_ownership_controls",
        wrap="OwnershipControls",
        result="OwnershipControls",
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _setting(
        "put_bucket_lifecycle_configuration",
        "get_bucket_lifecycle_configuration",
        "delete_bucket_lifecycle",
        wrap="LifecycleConfiguration",
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _setting(
        "put_bucket_policy", "get_bucket_policy", "delete_bucket_policy"
    ),
    "aws:s3/bucketLogging:BucketLogging": _setting(
        "put_bucket_logging",
        "get_bucket_logging",
        call("put_bucket_logging", BucketLoggingStatus={}),
        wrap="BucketLoggingStatus.LoggingEnabled",
        result="LoggingEnabled",
    ),
    "aws:s3/bucketNotification:BucketNotification": _setting(
        "put_bucket_notification_configuration",
        "get_bucket_notification_configuration",
        call("put_bucket_notification_configuration", NotificationConfiguration={}),
        wrap="NotificationConfiguration",
        prepare=_events,
        renames={
            "eventbridge": "EventBridgeConfiguration",
            "lambdaFunctions": "LambdaFunctionConfigurations",
            "queues": "QueueConfigurations",
            "topics": "TopicConfigurations",
        },
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": Type(
        service="s3",
        id="{key}",
        put=call("put_object"),
        read=call("head_object"),
        delete=call("delete_object"),
        prepare=_object,
        renames={"etag": "ETag", "kmsKeyId": "SSEKMSKeyId"},
        outputs={"arn": "arn:aws:s3:::{bucket}/{key}"},
        tag=call("put_object_tagging"),
        untag=None,
    ),
}
