"""Parks a model in the cluster and wakes it, through the Kubernetes API.

    {"verb": "park" | "wake", "model": name}

KEDA holds a model at the number of replicas that an annotation names, whatever its triggers say:
https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling

Environment:
    CLUSTER_NAME, CLUSTER_URL, CLUSTER_CA   the cluster, its API server, its authority's certificate (base64)
    NAMESPACE                               of the models
    LOG_LEVEL                               INFO
"""

import base64
import json
import logging
import os
import ssl
import urllib.error
import urllib.request
from typing import Any

import botocore.session
from botocore.signers import RequestSigner

from serving import logs

PAUSED = "autoscaling.keda.sh/paused-replicas"
TIMEOUT_S = 10
_TOKEN_S = 60
_VERBS = {"park": "0", "wake": None}
"""Verb -> value of the annotation; None takes it away."""

logger = logging.getLogger(__name__)


class NotParked(Exception):
    """The cluster did not take the change; the text says which and why."""


def handler(event: dict[str, Any], _context: Any) -> dict[str, str]:
    """Entry point of the function. Raises NotParked, and ValueError for an event of another form."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    verb, model = event.get("verb"), event.get("model")
    if verb not in _VERBS or not model:
        raise ValueError(f"the event has verb {verb!r} and model {model!r}; give park or wake, and a name")
    hold(str(model), _VERBS[verb])
    logger.info("%s %s", verb, model)
    return {"verb": verb, "model": str(model)}


def hold(model: str, replicas: str | None) -> None:
    """Hold a model at so many replicas; None lets its triggers decide again.

    Raises:
        NotParked: the API server refused, or did not answer.
    """
    path = f"/apis/keda.sh/v1alpha1/namespaces/{os.environ['NAMESPACE']}/scaledobjects/model-{model}"
    request = urllib.request.Request(  # noqa: S310 - a URL of our own
        os.environ["CLUSTER_URL"] + path,
        data=json.dumps({"metadata": {"annotations": {PAUSED: replicas}}}).encode(),
        headers={
            "authorization": f"Bearer {token(os.environ['CLUSTER_NAME'])}",
            "content-type": "application/merge-patch+json",
        },
        method="PATCH",
    )
    authority = base64.b64decode(os.environ["CLUSTER_CA"]).decode()
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=TIMEOUT_S, context=ssl.create_default_context(cadata=authority)
        ):
            return
    except urllib.error.HTTPError as error:
        raise NotParked(f"{model}: the cluster answers {error.code} {error.reason}") from None
    except OSError as error:
        raise NotParked(f"{model}: the cluster does not answer: {error}") from None


def token(cluster: str) -> str:
    """The function's role as a bearer of the cluster: a signed request to STS, which the cluster makes.

    https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html
    """
    session = botocore.session.get_session()
    region = session.get_config_variable("region")
    signer = RequestSigner(
        session.get_service_model("sts").service_id,
        region,
        "sts",
        "v4",
        session.get_credentials(),
        session.get_component("event_emitter"),
    )
    url = signer.generate_presigned_url(
        {
            "method": "GET",
            "url": f"https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": cluster},
            "context": {},
        },
        region_name=region,
        expires_in=_TOKEN_S,
        operation_name="",
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
