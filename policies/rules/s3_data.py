"""S3 buckets: what happens to the data in them."""

from typing import Any

from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule, stack_rule
from policies.rules.s3 import BUCKET, BUCKETS

ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
LOGGING = "aws:s3/bucketLogging:BucketLogging"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
ACL = "aws:s3/bucketAcl:BucketAcl"

_BUCKET = Sample(type=BUCKET, name="models", props={"bucket": "models"})


def _beside(type_: str, **props: Any) -> Sample:
    return Sample(type=type_, name="beside", props=props, refers_to={"bucket": "models"})


def _sse(algorithm: str, bucket_key: bool) -> Sample:
    default = {"sseAlgorithm": algorithm}
    rule = {"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": bucket_key}
    return _beside(ENCRYPTION, rules=[rule])


def is_log_bucket(bucket: Resource, stack: Stack) -> bool:
    """Whether other buckets' access logs go there. S3 delivers them with S3-managed keys only, and a log of
    the log bucket would log itself: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html"""
    return any(logging.refers("targetBucket", bucket) for logging in stack.of(LOGGING))


@stack_rule(
    id="s3-sse-kms",
    title="Buckets are encrypted with a customer managed key",
    severity="high",
    why="Then reading an object takes the key's permission as well; a bucket key keeps the requests cheap.",
    fix="add a BucketServerSideEncryptionConfiguration with aws:kms, the platform's key and a bucket key",
    types=BUCKETS,
    good=[_BUCKET, _sse("aws:kms", True)],
    bad=[_BUCKET, _sse("AES256", False)],
)
def sse_kms(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    if is_log_bucket(bucket, stack):
        return
    found = stack.companions(bucket, ENCRYPTION, "bucket")
    if not found:
        yield Finding("it has no BucketServerSideEncryptionConfiguration")
    algorithms = ("aws:kms", "aws:kms:dsse")
    for each in found:
        for rule in each.parts("rules"):
            path = "applyServerSideEncryptionByDefault.sseAlgorithm"
            yield from expect(rule, path, lambda name: name in algorithms, "aws:kms")
            yield from expect(rule, "bucketKeyEnabled", is_true, "true")


@stack_rule(
    id="s3-versioning",
    title="Buckets keep what is overwritten or deleted",
    severity="medium",
    why="A model that was overwritten by mistake or by ransomware can be brought back.",
    fix='add a BucketVersioning with status="Enabled"',
    types=BUCKETS,
    good=[_BUCKET, _beside(VERSIONING, versioningConfiguration={"status": "Enabled"})],
    bad=[_BUCKET, _beside(VERSIONING, versioningConfiguration={"status": "Suspended"})],
)
def versioning(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    found = stack.companions(bucket, VERSIONING, "bucket")
    if not found:
        yield Finding("it has no BucketVersioning")
    for each in found:
        status = "versioningConfiguration.status"
        yield from expect(each, status, lambda value: value == "Enabled", "Enabled")


_ABORT = {"abortIncompleteMultipartUpload": {"daysAfterInitiation": 1}, "status": "Enabled"}
_EXPIRE = {"noncurrentVersionExpiration": {"noncurrentDays": 30}, "status": "Enabled"}


@stack_rule(
    id="s3-lifecycle-required",
    title="Buckets clean up after themselves",
    severity="medium",
    why="Broken uploads and old versions are invisible and billed for ever.",
    fix="add a BucketLifecycleConfiguration that aborts incomplete uploads and expires noncurrent versions",
    types=BUCKETS,
    good=[_BUCKET, _beside(LIFECYCLE, rules=[_ABORT])],
    bad=[_BUCKET, _beside(LIFECYCLE, rules=[_EXPIRE])],
)
def lifecycle_required(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    found = stack.companions(bucket, LIFECYCLE, "bucket")
    rules = [rule for each in found for rule in each.parts("rules") if rule.get("status") == "Enabled"]
    if not any(rule.has("abortIncompleteMultipartUpload") for rule in rules):
        yield Finding("no lifecycle rule aborts incomplete uploads")
    versions = stack.companions(bucket, VERSIONING, "bucket")
    versioned = any(each.get("versioningConfiguration.status") == "Enabled" for each in versions)
    if versioned and not any(rule.has("noncurrentVersionExpiration") for rule in rules):
        yield Finding("it keeps versions and no lifecycle rule expires them")


@stack_rule(
    id="s3-access-logging",
    title="Buckets log who accessed them",
    severity="medium",
    why="After a leak, the access log is what tells which objects were read.",
    fix="add a BucketLogging with the platform's log bucket as target",
    types=BUCKETS,
    good=[_BUCKET, _beside(LOGGING, targetBucket="logs")],
    bad=[_BUCKET],
)
def access_logging(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    if not is_log_bucket(bucket, stack) and not stack.companions(bucket, LOGGING, "bucket"):
        yield Finding("it has no BucketLogging")


_PUBLIC = ("public-read", "public-read-write", "authenticated-read")
_EVERYONE = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)


@stack_rule(
    id="s3-no-acls",
    title="Access to buckets is granted by policies, never by ACLs",
    severity="critical",
    why="An ACL on one object can publish it without anything else in the account changing.",
    fix='add BucketOwnershipControls with object_ownership="BucketOwnerEnforced" and remove the ACL',
    types=[*BUCKETS, ACL],
    good=[_BUCKET, _beside(OWNERSHIP, rule={"objectOwnership": "BucketOwnerEnforced"})],
    bad=[_BUCKET, _beside(OWNERSHIP, rule={"objectOwnership": "ObjectWriter"})],
)
def no_acls(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    if resource.type != ACL:
        found = stack.companions(resource, OWNERSHIP, "bucket")
        if not found:
            yield Finding("it has no BucketOwnershipControls")
        for each in found:
            owner = "rule.objectOwnership"
            yield from expect(
                each, owner, lambda value: value == "BucketOwnerEnforced", "BucketOwnerEnforced"
            )
    yield from expect(resource, "acl", lambda acl: acl not in _PUBLIC, "private")
    grants, uri = ("accessControlPolicy.grants", "grantee.uri") if resource.type == ACL else ("grants", "uri")
    for grant in resource.parts(grants):
        yield from expect(grant, uri, lambda group: group not in _EVERYONE, "a named account")


@resource_rule(
    id="s3-no-force-destroy-prod",
    title="Buckets that hold objects refuse deletion",
    severity="high",
    why="With force_destroy, one `destroy` empties the bucket, versions included.",
    fix="remove force_destroy",
    types=BUCKETS,
    good={"forceDestroy": False},
    bad={"forceDestroy": True},
)
def no_force_destroy(bucket: Resource, settings: Settings) -> Findings:
    yield from expect(bucket, "forceDestroy", lambda value: value is not True, "false")


RULES = (sse_kms, versioning, lifecycle_required, access_logging, no_acls, no_force_destroy)
