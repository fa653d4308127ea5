"""The request diagram: one inference request from the token to the answer, as a sequence."""

import itertools
import re
from collections.abc import Iterator

from inferctl.flows import PATH
from inferctl.graph import Graph

TITLES = {
    "client": "Client",
    "identity": "Cognito",
    "domain": "Domain",
    "web_acl": "Web ACL",
    "gateway": "API Gateway",
    "authorizer": "Authorizer",
    "functions": "Lambda",
    "entry": "Private link",
    "router": "Router",
    "gpu_models": "GPU server",
    "sagemaker": "SageMaker",
    "jobs": "Job queue",
    "models": "Model store",
}


def request(env: str, graph: Graph) -> str:
    """The sequence, with the figures of this environment."""
    steps = [*_token(graph), *_admission(graph), *_answers(graph)]
    present = [box for box in TITLES if any(re.search(rf"(^ *|>){box}\b", step) for step in steps)]
    lines = [
        "sequenceDiagram",
        f"  accTitle: {env}: one request",
        "  accDescr: A client gets a token, asks a model through the API, and gets its answer or a refusal",
        "  autonumber",
        "  actor client as Client",
        *(f"  participant {box} as {TITLES[box]}" for box in present[1:]),
        *steps,
    ]
    return "\n".join(lines) + "\n"


def _token(graph: Graph) -> Iterator[str]:
    for pool_client in graph.of_type("aws:cognito/userPoolClient:UserPoolClient"):
        if "client_credentials" in (pool_client["inputs"].get("allowedOauthFlows") or ()):
            minutes = pool_client["inputs"].get("accessTokenValidity")
            yield "  client->>identity: client id and secret of the tenant"
            yield (
                f"  identity-->>client: access token, {minutes:g} minutes"
                if minutes
                else ("  identity-->>client: access token")
            )
            return


def _admission(graph: Graph) -> Iterator[str]:
    """Through the way in, to the authorizer, and out again where it refuses."""
    way = [box for box in PATH if box == "client" or box in graph.boxes]
    in_header = graph.api.get("x-amazon-apigateway-api-key-source") == "HEADER"
    sent = "token and API key" if in_header else "token"
    for one, other in itertools.pairwise(way):
        yield f"  {one}->>{other}: " + (f"POST infer, {sent}" if one == "client" else "request")
        if other == "web_acl":
            yield "  break an attack, or too many requests of one address"
            yield "    web_acl-->>client: 403 or 429"
            yield "  end"
    if "authorizer" in graph.boxes:
        schemes = graph.api.get("components", {}).get("securitySchemes", {})
        found = [s.get("x-amazon-apigateway-authorizer", {}) for s in schemes.values()]
        kept = next((a["authorizerResultTtlInSeconds"] for a in found if a), 0)
        yield f"  opt no answer for this token in the last {kept} s" if kept else "  opt every request"
        yield "    gateway->>authorizer: token, method and path"
        yield "    authorizer->>identity: public keys, once a process"
        yield "    authorizer-->>gateway: tenant" + ("" if in_header else " and its API key")
        yield "  end"
        yield "  break no valid token, or not the scope"
        yield "    gateway-->>client: 401 or 403"
        yield "  end"
    plans = sorted(
        f"{plan['inputs']['name'].rsplit('-', 1)[-1]} {plan['inputs']['throttleSettings']['rateLimit']:g}/s"
        for plan in graph.of_type("aws:apigateway/usagePlan:UsagePlan")
    )
    if plans:
        shown = ", ".join(plans) if len(plans) <= 4 else f"{len(plans)} tenants"
        yield f"  note over gateway: usage plans: {shown}"
        yield "  break over the plan"
        yield "    gateway-->>client: 429"
        yield "  end"


def _answers(graph: Graph) -> Iterator[str]:
    """An alternative for each backend that has models."""
    ways = {"functions": _function, "gpu_models": _gpu, "sagemaker": _sagemaker}
    word, paths = "alt", graph.api.get("paths", {})
    for box, way in ways.items():
        # A model that takes jobs only has no such path; of a document that is not known yet, all are shown.
        names = [
            name for name in graph.members.get(box, ()) if not paths or f"/v2/models/{name}/infer" in paths
        ]
        if names:
            yield f"  {word} {', '.join(names)}"
            yield from (f"    {line}" for line in way(graph))
            word = "else"
    if word == "else":
        yield "  end"
    yield "  gateway-->>client: 200, tensors"
    if "jobs" in graph.boxes and any(path.endswith("/jobs") for path in paths):
        yield "  opt not now: POST jobs"
        yield "    gateway->>jobs: input, held until a model has time"
        yield "    gateway-->>client: 202, Location of the job"
        yield "  end"


def _function(graph: Graph) -> Iterator[str]:
    yield "gateway->>functions: invoke alias live"
    yield from _load(graph, "functions")
    yield "functions-->>gateway: tensors"


def _gpu(graph: Graph) -> Iterator[str]:
    via = [box for box in ("entry", "router") if box in graph.boxes]
    way = ["gateway", *via, "gpu_models"]
    for one, other in itertools.pairwise(way):
        if other == "gpu_models" and "router" in via:
            yield "break no replica runs"
            yield "  router-->>client: 503, Retry-After, and the model is woken"
            yield "end"
        yield f"{one}->>{other}: request"
    yield from _load(graph, "gpu_models")
    yield "gpu_models-->>gateway: tensors, or a stream of tokens"


def _sagemaker(_: Graph) -> Iterator[str]:
    yield "gateway->>sagemaker: InvokeEndpoint"
    yield "sagemaker-->>gateway: tensors"


def _load(graph: Graph, box: str) -> Iterator[str]:
    if "models" in graph.boxes:
        yield "opt first request of a process"
        yield f"  {box}->>models: model, its digest is checked"
        yield "end"
