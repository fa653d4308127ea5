"""Takes away the nodes that Karpenter started, which no stack knows of.

Deleting a node pool makes Karpenter drain and terminate its nodes; were the cluster deleted first, they would
run on, and be paid for. https://karpenter.sh/docs/concepts/disruption/#manual-methods
"""

import base64
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from inferctl.errors import CommandFailed
from toolchain.progress import Step

CLUSTERS = ("eks:index:Cluster", "aws:eks/cluster:Cluster")
POOLS = "/apis/karpenter.sh/v1/nodepools"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
PATIENCE_S, EVERY_S = 900, 10
"""A drain waits for what runs on the node: a model server gets to finish its requests."""


def drain(cluster: str, aws: Callable[[str], Any], step: Step) -> str:
    """Delete all node pools of a cluster and wait until their nodes are gone.

    Raises:
        CommandFailed: the cluster's endpoint is out of reach, or nodes remain.
    """
    about = aws("eks").describe_cluster(name=cluster)["cluster"]
    try:
        with _api(cluster, about, aws) as api:
            return drain_nodes(api, step)
    except httpx.TransportError as error:
        raise CommandFailed(
            f"nothing was deleted: the endpoint of cluster {cluster} is out of reach ({error}), and its GPU "
            "nodes would outlive it",
            "run this from inside the VPC, on a CodeBuild-hosted runner or through a VPN",
        ) from None


def drain_nodes(
    api: httpx.Client, step: Step, every_s: float = EVERY_S, patience_s: float = PATIENCE_S
) -> str:
    """The same over a client of the cluster's API."""
    listed = api.get(POOLS)
    if listed.status_code == httpx.codes.NOT_FOUND:
        return "no Karpenter in this cluster"
    listed.raise_for_status()
    pools = [item["metadata"]["name"] for item in listed.json()["items"]]
    for pool in pools:
        api.delete(f"{POOLS}/{pool}").raise_for_status()
    waited = 0.0
    while nodes := api.get(CLAIMS).raise_for_status().json()["items"]:
        if waited >= patience_s:
            names = ", ".join(node["metadata"]["name"] for node in nodes)
            raise CommandFailed(
                f"after {patience_s:.0f} s these nodes still run: {names}; the stack was not touched",
                "look at what keeps them (`kubectl describe nodeclaim`), then run the command again",
            )
        step.detail = f"{len(nodes)} nodes drain"
        step.pause(every_s)
        waited += every_s
    return f"{len(pools)} node pools deleted, their nodes are gone"


def _api(cluster: str, about: Any, aws: Callable[[str], Any]) -> httpx.Client:
    """A client that logs in as `aws eks get-token` does: with a signed request to STS as its token."""
    sts = aws("sts")
    sts.meta.events.register(
        "before-sign.sts.GetCallerIdentity",
        lambda request, **_: request.headers.add_header("x-k8s-aws-id", cluster),
    )
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    token = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    authority = base64.b64decode(about["certificateAuthority"]["data"]).decode()
    return httpx.Client(
        base_url=about["endpoint"],
        headers={"Authorization": f"Bearer k8s-aws-v1.{token}"},
        verify=ssl.create_default_context(cadata=authority),
        timeout=30,
    )
