"""Buckets: private, encrypted, versioned, TLS only, logged, and cleaned up by prefix."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from components.storage import Storage, StorageArgs
from tests.components.iam_documents import documents, statements_of
from tests.components.platform_args import ACCOUNT, DATA_KEY, NAMES, TAGS
from tests.components.recorded import Recorded, deployed

ROLES = ["models", "data", "logs"]
SIBLINGS: Mapping[str, Mapping[str, Any]] = {
    "BucketOwnershipControls": {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
    "BucketPublicAccessBlock": {
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    },
    "BucketVersioning": {"versioningConfiguration": {"status": "Enabled"}},
    "BucketServerSideEncryptionConfiguration": {},
    "BucketLifecycleConfiguration": {},
    "BucketPolicy": {},
}


def storage(**more: Any) -> Recorded:
    return deployed(
        lambda: Storage("storage", StorageArgs(names=NAMES, tags=TAGS, kms_key_arn=DATA_KEY, **more))
    )


@pytest.fixture(scope="module")
def made() -> Recorded:
    return storage()


def bucket_name(role: str) -> str:
    return f"inference-platform-dev-{ACCOUNT}-{role}"


def sibling(recorded: Recorded, kind: str, role: str) -> dict[str, Any]:
    """Inputs of the one resource of that kind that is about the bucket, without the bucket."""
    [found] = [
        resource.inputs
        for resource in recorded.resources
        if resource.type.endswith(f":{kind}") and resource.inputs["bucket"] == bucket_name(role)
    ]
    return {key: value for key, value in found.items() if key != "bucket"}


def rules_of(recorded: Recorded, role: str) -> dict[str, Any]:
    return {rule["id"]: rule for rule in sibling(recorded, "BucketLifecycleConfiguration", role)["rules"]}


def test_there_are_three_buckets_named_by_role_and_account(made: Recorded) -> None:
    buckets = made.all("aws:s3/bucket:Bucket")
    assert {bucket.inputs["bucket"] for bucket in buckets} == {bucket_name(role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", SIBLINGS)
def test_every_bucket_has_every_safeguard(made: Recorded, role: str, kind: str) -> None:
    assert SIBLINGS[kind].items() <= sibling(made, kind, role).items()


@pytest.mark.parametrize("role", ["models", "data"])
def test_objects_are_encrypted_with_the_data_key(made: Recorded, role: str) -> None:
    [rule] = sibling(made, "BucketServerSideEncryptionConfiguration", role)["rules"]
    assert rule["bucketKeyEnabled"] is True
    assert rule["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": DATA_KEY,
    }


def test_access_logs_are_encrypted_with_what_log_delivery_can_use(made: Recorded) -> None:
    [rule] = sibling(made, "BucketServerSideEncryptionConfiguration", "logs")["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}


@pytest.mark.parametrize("role", ROLES)
def test_requests_without_tls_1_2_are_denied(made: Recorded, role: str) -> None:
    statements = statements_of(made, f"storage-{role}-policy")
    arn = f"arn:aws:s3:::{bucket_name(role)}"
    for sid, condition in {
        "TlsOnly": {"Bool": {"aws:SecureTransport": "false"}},
        "Tls12": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    }.items():
        assert statements[sid] == {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": condition,
        }


def test_without_require_tls_no_policy_denies_anything() -> None:
    recorded = storage(require_tls=False)
    effects = {statement["Effect"] for found in documents(recorded) for statement in found.statements}
    assert effects == {"Allow"}
    assert [policy.name for policy in recorded.all("aws:s3/bucketPolicy:BucketPolicy")] == [
        "storage-logs-policy"
    ]


def test_a_policy_waits_for_the_access_block(made: Recorded) -> None:
    for role in ROLES:
        policy, block = (
            made.named(f"storage-{role}-policy"),
            made.named(f"storage-{role}-public-access-block"),
        )
        assert block.urn in policy.depends_on


def test_only_log_delivery_for_this_account_s_buckets_writes_the_log_bucket(made: Recorded) -> None:
    allowed = [s for s in statements_of(made, "storage-logs-policy").values() if s["Effect"] == "Allow"]
    [delivery] = allowed
    assert delivery["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert delivery["Action"] == "s3:PutObject"
    assert delivery["Resource"] == f"arn:aws:s3:::{bucket_name('logs')}/s3/*"
    assert delivery["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::inference-platform-dev-{ACCOUNT}-*"},
    }


def test_access_to_models_and_data_is_logged_where_delivery_may_write(made: Recorded) -> None:
    for role in ("models", "data"):
        logging = sibling(made, "BucketLogging", role)
        assert logging == {"targetBucket": bucket_name("logs"), "targetPrefix": f"s3/{role}/"}
    assert len(made.all("aws:s3/bucketLogging:BucketLogging")) == 2


def test_models_and_data_send_their_events_to_event_bridge(made: Recorded) -> None:
    events = made.all("aws:s3/bucketNotification:BucketNotification")
    assert {event.inputs["bucket"] for event in events} == {bucket_name("models"), bucket_name("data")}
    assert all(event.inputs["eventbridge"] is True for event in events)


@pytest.mark.parametrize("role", ROLES)
def test_uploads_that_were_given_up_and_old_versions_go(role: str) -> None:
    rule = rules_of(storage(noncurrent_days=5), role)["cleanup"]
    assert rule["status"] == "Enabled"
    assert rule["filter"] == {"prefix": ""}
    assert rule["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 1}
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 5}


def test_models_never_expire_and_move_to_intelligent_tiering(made: Recorded) -> None:
    rules = rules_of(made, "models")
    assert rules["tiering"]["transitions"] == [{"days": 0, "storageClass": "INTELLIGENT_TIERING"}]
    assert not [rule for rule in rules.values() if "expiration" in rule]


@pytest.mark.parametrize(
    ("days", "moves"), [(90, None), (119, None), (120, [{"days": 30, "storageClass": "GLACIER_IR"}])]
)
def test_results_expire_and_move_to_glacier_only_where_they_stay_for_its_90_days(
    days: int, moves: list[dict[str, Any]] | None
) -> None:
    rules = rules_of(storage(results_days=days), "data")
    assert {rule["filter"]["prefix"] for rule in rules.values()} == {
        "",
        "input/",
        "work/",
        "output/",
        "queries/",
        "capture/",
    }
    for name in ("inputs", "results", "capture"):
        assert rules[name]["expiration"] == {"days": days}
        assert rules[name].get("transitions") == moves


def test_access_logs_expire(made: Recorded) -> None:
    assert rules_of(made, "logs")["access-logs"]["expiration"] == {"days": 365}


@pytest.mark.parametrize("protect", [True, False])
def test_buckets_and_nothing_else_are_protected_as_asked(protect: bool) -> None:
    recorded = storage(protect=protect)
    protected = {r.type for r in recorded.resources if r.protect}
    assert protected == ({"aws:s3/bucket:Bucket"} if protect else set())
    assert all(bucket.protect is protect for bucket in recorded.all("aws:s3/bucket:Bucket"))


def test_a_bucket_that_holds_objects_is_deleted_only_where_asked(made: Recorded) -> None:
    assert not any(bucket.inputs["forceDestroy"] for bucket in made.all("aws:s3/bucket:Bucket"))
    forced = storage(force_destroy=True)
    assert all(bucket.inputs["forceDestroy"] for bucket in forced.all("aws:s3/bucket:Bucket"))


def test_policies_are_written_the_same_way_every_time(made: Recorded) -> None:
    for document in documents(made):
        assert document.text == json.dumps(json.loads(document.text), sort_keys=True)
