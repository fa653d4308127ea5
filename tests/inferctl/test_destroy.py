"""Destruction refuses what is protected, waits for nodes, and looks for leftovers by tag and by service."""

import threading
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
from botocore.stub import Stubber

from inferctl import karpenter_nodes, leftovers, registry
from inferctl.destroy import refuse_protected
from inferctl.errors import CommandFailed, Refused
from inferctl.leftovers import Scope, find
from toolchain.progress import Step


@pytest.fixture
def step() -> Step:
    return Step("test", threading.Event())


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::p::aws:s3/bucket:Bucket::{name}", "type": "aws:s3/bucket:Bucket", **more}


def test_what_is_protected_stops_everything_and_names_the_setting() -> None:
    held = [
        resource("free"),
        resource("models", protect=True),
        resource("pool", outputs={"deletionProtection": "ACTIVE"}),
    ]
    with pytest.raises(
        Refused, match=r"nothing was deleted: models \(protect: true\), pool \(deletion"
    ) as told:
        refuse_protected("dev", held)
    assert "protect: false" in told.value.next_step
    refuse_protected("dev", held[:1])


def test_packages_of_the_stacks_own_groups_are_deleted_first(step: Step) -> None:
    sagemaker = boto3.client("sagemaker", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    arns = [f"arn:aws:sagemaker:eu-west-1:111111111111:model-package/p-dev-digits/{n}" for n in (1, 2)]
    resources = [resource("models"), {"type": registry.GROUP, "id": "p-dev-digits"}]
    with Stubber(sagemaker) as stub:
        for arn, more in zip(arns, ({"NextToken": "next"}, {}), strict=True):
            summary = {"ModelPackageArn": arn, "CreationTime": 0, "ModelPackageStatus": "Completed"}
            asked = {"ModelPackageGroupName": "p-dev-digits"} | ({} if more else {"NextToken": "next"})
            stub.add_response("list_model_packages", {"ModelPackageSummaryList": [summary], **more}, asked)
        for arn in arns:
            stub.add_response("delete_model_package", {}, {"ModelPackageName": arn})
        assert registry.empty(resources, sagemaker, step) == "2 packages of models deleted"
        stub.assert_no_pending_responses()


def cluster(remaining: list[int], pools: int = 2) -> tuple[httpx.Client, list[str]]:
    """A cluster's API whose nodes go with every look, and what was asked of it."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "DELETE":
            return httpx.Response(200, json={})
        if request.url.path == karpenter_nodes.POOLS:
            return httpx.Response(
                200, json={"items": [{"metadata": {"name": f"p{n}"}} for n in range(pools)]}
            )
        left = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return httpx.Response(200, json={"items": [{"metadata": {"name": f"n{n}"}} for n in range(left)]})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="https://cluster"), asked


def test_node_pools_are_deleted_and_their_nodes_waited_for(step: Step) -> None:
    api, asked = cluster([3, 1, 0])
    said = karpenter_nodes.drain_nodes(api, step, every_s=0)
    assert said == "2 node pools deleted, their nodes are gone"
    pools, claims = karpenter_nodes.POOLS, karpenter_nodes.CLAIMS
    assert asked == [f"GET {pools}", f"DELETE {pools}/p0", f"DELETE {pools}/p1", *[f"GET {claims}"] * 3]


def test_nodes_that_stay_stop_the_destruction(step: Step) -> None:
    api, _ = cluster([1])
    with pytest.raises(CommandFailed, match="these nodes still run: n0; the stack was not touched"):
        karpenter_nodes.drain_nodes(api, step, every_s=0.01, patience_s=0.02)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("inference-platform-dev-1-models", True),
        ("/aws/lambda/inference-platform-dev-authorizer", True),
        ("/inference-platform/dev/tenants/x", True),
        ("aws-waf-logs-inference-platform-dev", True),
        ("inference-platform-dev", True),
        ("inference-platform-development", False),
        ("inference-platform-prod-1-models", False),
        ("other", False),
    ],
)
def test_a_name_tells_our_resources_from_others(name: str, ours: bool) -> None:
    assert Scope(env="dev").names(name) is ours


def test_a_service_that_cannot_be_asked_is_unknown_and_hides_no_other(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise CommandFailed("no permission", "ask for it")

    searches = {"refused": refused, "queues": leftovers._by_name("sqs", "list_queues", "QueueUrls")}
    monkeypatch.setattr(leftovers, "SEARCHES", searches)
    urls = {"QueueUrls": ["http://x/1/inference-platform-dev-jobs", "http://x/1/theirs"]}
    sqs = SimpleNamespace(
        can_paginate=lambda _: False, list_queues=lambda: urls, get_resources=lambda **_: {}
    )
    found = find(Scope(env="dev"), lambda service: _kms() if service == "kms" else sqs, step)
    assert found.leftovers == ["queues: http://x/1/inference-platform-dev-jobs"]
    assert found.unknown == ["refused: no permission"]
    assert found.looked_at == ["queues"]


def _kms() -> Any:
    return SimpleNamespace(can_paginate=lambda _: False, list_keys=lambda: {"Keys": []})
