"""A plan reads like a review: what is lost first and in words, then changes, policies, quotas."""

from typing import Any

from environments import loader
from inferctl.baseline import Difference
from inferctl.findings import PolicyFinding
from inferctl.outcome import Change, changes
from inferctl.quotas import demands
from inferctl.review import Review, from_baseline

STACK = "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev"
STORAGE = "urn:pulumi:dev::p::p:storage:Storage::storage"
BUCKET = "urn:pulumi:dev::p::p:storage:Storage$aws:s3/bucket:Bucket::models"


def finding(what: str, level: str = "advisory") -> PolicyFinding:
    return PolicyFinding(
        rule="s3-no-acls",
        level=level,
        severity="high",
        urn="a::b::c::logs",
        title="No ACLs",
        what=what,
        why="",
        fix="",
    )


def review(*found: Change, findings: tuple[PolicyFinding, ...] = ()) -> Review:
    return Review(
        env="dev",
        against="environments/baseline/dev.txt",
        changes=found,
        findings=findings,
        cost="$10 in an idle month",
        quotas=tuple(demands(loader.from_file("prod"))),
        path=("Clients -> API",),
    )


def change(operation: str, path: str, kind: str, *properties: str) -> Change:
    return Change(operation=operation, path=path, type=kind, properties=properties)


def test_what_is_lost_comes_first_and_says_what_goes_with_it() -> None:
    plan = review(
        change("create", "api/role", "aws:iam/role:Role"),
        change("delete", "storage/data", "aws:s3/bucket:Bucket"),
        change("replace", "identity/pool", "aws:cognito/userPool:UserPool", "usernameAttributes"),
        change("replace", "api/policy", "aws:iam/policy:Policy", "name"),
        change("update", "storage/models", "aws:s3/bucket:Bucket", "tags"),
    )
    lines = list(plan.lines())
    assert lines[1] == "Lost, if this goes on"
    assert lines[2] == "  storage/data (Bucket) is deleted, and with it its objects"
    assert lines[3].startswith(
        "  identity/pool (UserPool) is replaced, because usernameAttributes cannot change in place; lost"
    )
    assert lines[4] == ""  # neither the role's policy nor an update loses anything
    assert "1 to create, 1 to delete, 2 to replace, 1 to update" in lines[5]


def test_changes_stand_under_their_components() -> None:
    found = [change("create", f"network/subnet-{n}", "aws:ec2/subnet:Subnet") for n in range(14)]
    lines = list(review(*found, change("update", "api/stage", "aws:apigateway/stage:Stage", "tags")).lines())
    api, network = lines.index("  api"), lines.index("  network")
    assert lines[api + 1] == "    ~ update stage (Stage): tags"
    assert lines[network + 13] == "    and 2 more"


def test_undecided_findings_are_counted_apart_from_decided_ones() -> None:
    decided = finding("logs: acl is set")
    later = finding("`acl` is not known yet; undecided until up")
    lines = list(review(findings=(decided, later, later)).lines())
    assert "  s3-no-acls (advisory) logs: logs: acl is set" in lines
    assert "  s3-no-acls: 2 resources" in lines
    assert "Lost, if this goes on" not in lines


def test_the_record_has_everything_for_programs() -> None:
    record = review(change("delete", "storage/data", "aws:s3/bucket:Bucket")).record()
    assert record["losses"] == ["storage/data (Bucket) is deleted, and with it its objects"]
    assert record["changes"][0]["operation"] == "delete"
    assert {"cost", "quotas", "path", "findings", "against", "env"} <= record.keys()


def test_a_baseline_gives_changes_of_resources_and_not_of_components() -> None:
    difference = Difference(
        added=("storage  [inference-platform:storage:Storage]", "storage/models  [aws:s3/bucket:Bucket]"),
        removed=("old/queue  [aws:sqs/queue:Queue]",),
        changed=(),
    )
    assert from_baseline(difference) == (
        change("create", "storage/models", "aws:s3/bucket:Bucket"),
        change("delete", "old/queue", "aws:sqs/queue:Queue"),
    )


def test_of_the_three_steps_of_a_replacement_one_counts() -> None:
    def step(operation: str, urn: str, parent: str, **more: Any) -> dict[str, Any]:
        state = {"parent": parent, "custom": "aws:" in urn}
        return {"op": operation, "urn": urn, "type": urn.split("::")[2].split("$")[-1], "new": state, **more}

    found = changes(
        [
            step("same", STORAGE, STACK),
            step("create-replacement", BUCKET, STORAGE),
            step("replace", BUCKET, STORAGE, keys=["bucket"], diffs=["bucket", "tags"]),
            step("delete-replaced", BUCKET, STORAGE),
        ]
    )
    assert found == [change("replace", "storage/models", "aws:s3/bucket:Bucket", "bucket")]
