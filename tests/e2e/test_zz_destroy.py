"""The end of the platform that all end-to-end tests share; the file's name makes it the last of them."""

import json
from pathlib import Path
from typing import Any

from inferctl.errors import Exit
from inferctl.leftovers import SEARCHES
from inferctl.session import Session
from tests.e2e.conftest import listens


def test_destroy_finds_planted_leftovers_and_then_leaves_nothing(
    session: Session, inferctl: Any, local_dir: Path
) -> None:
    s3, sqs = session.aws("s3"), session.aws("sqs")
    s3.create_bucket(Bucket="inference-platform-local-planted")
    tags = {"platform": "inference-platform", "environment": "local"}
    by_tag = sqs.create_queue(QueueName="a-name-that-says-nothing", tags=tags)["QueueUrl"]
    theirs = sqs.create_queue(QueueName="not-ours")["QueueUrl"]

    found = inferctl("destroy", "--json", check=False)
    assert found.returncode == Exit.FOUND, found.stderr
    proof = json.loads(found.stdout)
    assert sorted(item.split(": ", 1)[0] for item in proof["leftovers"]) == ["S3 buckets", "tags"]
    assert any(item.endswith("inference-platform-local-planted") for item in proof["leftovers"])
    assert any(item.endswith("a-name-that-says-nothing") for item in proof["leftovers"])
    assert proof["looked_at"] == list(SEARCHES)
    assert proof["unknown"] == []
    # Keys wait for their deletion; that is AWS's own doing, and said.
    assert all("deletion is scheduled" in item for item in proof["waiting"])

    s3.delete_bucket(Bucket="inference-platform-local-planted")
    sqs.delete_queue(QueueUrl=by_tag)
    assert theirs in sqs.list_queues()["QueueUrls"]  # what is not ours was not touched
    ports = json.loads((local_dir / "aws/ports.json").read_text()).values()
    proof = json.loads(inferctl("destroy", "--json").stdout)
    assert not [port for port in ports if listens(int(port))]
    assert proof["leftovers"] == []
    assert not (local_dir / "aws").exists()
