"""S3 buckets. What belongs to a bucket stands in resources of its own, joined by their `bucket` property."""

from policies.documents import NotADocument, Statement, statements
from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, stack_rule

BUCKET = "aws:s3/bucket:Bucket"
BUCKETS = (BUCKET, "aws:s3/bucketV2:BucketV2")
ACCESS_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"

_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_BUCKET = Sample(type=BUCKET, name="models", props={"bucket": "models"})
_ALL_BLOCKED = dict.fromkeys(_BLOCKS, True)
_TO_BUCKET = {"bucket": "models"}


@stack_rule(
    id="s3-public-access-block",
    title="Every bucket blocks all public access",
    severity="critical",
    why="One careless ACL or policy would otherwise publish models, inputs and predictions to the internet.",
    fix="give the bucket an aws.s3.BucketPublicAccessBlock with all four settings true",
    types=BUCKETS,
    good=[_BUCKET, Sample(type=ACCESS_BLOCK, props=_ALL_BLOCKED, refers_to=_TO_BUCKET)],
    bad=[
        _BUCKET,
        Sample(
            type=ACCESS_BLOCK, props={**_ALL_BLOCKED, "restrictPublicBuckets": False}, refers_to=_TO_BUCKET
        ),
    ],
)
def public_access_block(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    blocks = stack.companions(bucket, ACCESS_BLOCK, "bucket")
    if not blocks:
        yield Finding("it has no BucketPublicAccessBlock")
    for block in blocks:
        for setting in _BLOCKS:
            yield from expect(block, setting, is_true, "true")


@stack_rule(
    id="s3-tls-only-policy",
    title="Every bucket refuses requests without TLS",
    severity="high",
    why="Over plain HTTP, objects and signed URLs can be read and changed on the way.",
    fix="add a bucket policy statement that denies s3:* to everyone on the bucket and its objects where "
    "aws:SecureTransport is false",
    types=BUCKETS,
    good=[
        _BUCKET,
        Sample(
            type=POLICY,
            refers_to=_TO_BUCKET,
            props={
                "policy": {
                    "Statement": [
                        {
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/*"],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ]
                }
            },
        ),
    ],
    bad=[_BUCKET, Sample(type=POLICY, props={"policy": {"Statement": []}}, refers_to=_TO_BUCKET)],
)
def tls_only_policy(bucket: Resource, stack: Stack, settings: Settings) -> Findings:
    policies = stack.companions(bucket, POLICY, "bucket")
    if not policies:
        yield Finding("it has no bucket policy")
    for policy in policies:
        try:
            found = statements(policy, "policy")
        except NotADocument as error:
            yield Finding(str(error))
            continue
        if not any(_denies_plain_http(statement) for statement in found):
            yield Finding("no statement of its `policy` denies all requests without TLS")


def _denies_plain_http(statement: Statement) -> bool:
    everything = {"*", "s3:*"} & set(statement.actions)
    objects = any(resource == "*" or resource.endswith("/*") for resource in statement.resources)
    itself = any(not resource.endswith("/*") for resource in statement.resources)
    plain = ("Bool", "aws:securetransport", ["false"])
    only_plain = [
        (operator, key, [value.lower() for value in values]) for operator, key, values in statement.conditions
    ]
    return (
        statement.body.get("Effect") == "Deny"
        and statement.trusts_everyone()
        and bool(everything)
        and objects
        and itself
        and only_plain == [plain]
    )


RULES = (public_access_block, tls_only_policy)
