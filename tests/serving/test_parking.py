"""The function that parks models, against an API server with TLS that records what it is asked."""

import base64
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import parking
from tests.serving.kubernetes_api import SCALER, Cluster, certificate, cluster_with

MINILM = f"{SCALER}minilm"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster_with({MINILM: {"other": "stays"}}, tmp_path) as found:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
        for name, value in {**found.environment, **keys, "AWS_DEFAULT_REGION": "eu-west-1"}.items():
            monkeypatch.setenv(name, value)
        yield found


def test_a_model_is_held_at_no_replica_and_let_go_again(cluster: Cluster) -> None:
    for _ in range(2):  # the schedule and an alarm may both park it
        assert parking.handler({"verb": "park", "model": "minilm"}, None)["verb"] == "park"
        assert cluster.objects[MINILM] == {"other": "stays", "autoscaling.keda.sh/paused-replicas": "0"}
    for _ in range(2):
        parking.handler({"verb": "wake", "model": "minilm"}, None)
        assert cluster.objects[MINILM] == {"other": "stays"}


def test_the_cluster_gets_the_functions_role_as_a_signed_request(cluster: Cluster) -> None:
    parking.handler({"verb": "park", "model": "minilm"}, None)
    prefix, _, encoded = cluster.tokens[0].partition(".")
    assert prefix == "k8s-aws-v1"
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = urllib.parse.parse_qs(url.query)
    assert (url.scheme, url.netloc) == ("https", "sts.eu-west-1.amazonaws.com")
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"], "the token is of one cluster alone"
    assert int(query["X-Amz-Expires"][0]) <= 60
    assert "secret" not in url.query


def test_a_refusal_is_a_failure_that_says_why(cluster: Cluster) -> None:
    with pytest.raises(parking.NotParked, match=r"^llama: the cluster answers 404 Not Found$"):
        parking.handler({"verb": "park", "model": "llama"}, None)


def test_another_cluster_is_not_believed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_CA", certificate(tmp_path)[1])
    with pytest.raises(parking.NotParked, match="certificate verify failed"):
        parking.handler({"verb": "park", "model": "minilm"}, None)
    assert cluster.tokens == []


@pytest.mark.parametrize("event", [{}, {"verb": "stop", "model": "minilm"}, {"verb": "park"}])
def test_an_event_of_another_form_is_refused(event: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give park or wake, and a name"):
        parking.handler(event, None)
