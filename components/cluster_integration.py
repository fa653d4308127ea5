"""API Gateway's private integrations with the cluster's router: requests and answers pass through unchanged.

Beside them the router gets the tenant's name, as the authorizer found it. A mapped header takes the place of
one that a client sends.
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-private-integration.html
"""

from collections.abc import Mapping

from components.api_document import Json
from components.api_routes import MODEL_OPERATIONS, OPENAI_OPERATIONS

# Where serving.usage looks for it.
_TENANT: Json = {"integration.request.header.X-Inference-Tenant": "context.authorizer.tenant"}
# Answers of language models take minutes; a streaming integration may, a buffered one ends after 29 seconds.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
_STREAM: Json = {"responseTransferMode": "STREAM", "timeoutInMillis": 300_000}


def model_integrations(
    *, model: str, url: str, vpc_link_id: str, load_balancer_arn: str
) -> Mapping[str, Json]:
    """Operation of `MODEL_OPERATIONS` -> `x-amazon-apigateway-integration`.

    Args:
        url: the load balancer's, without a path.
    """
    return {
        operation: _private(method, f"{url}/v2/models/{model}{end}", vpc_link_id, load_balancer_arn)
        for operation, (method, end) in MODEL_OPERATIONS.items()
    }


def openai_integrations(*, url: str, vpc_link_id: str, load_balancer_arn: str) -> Mapping[str, Json]:
    """Path of `OPENAI_OPERATIONS` -> its integration; the router reads the model's name from the body."""
    return {
        path: _private(method, url + path, vpc_link_id, load_balancer_arn) | _STREAM
        for path, (method, _) in OPENAI_OPERATIONS.items()
    }


def _private(method: str, uri: str, vpc_link_id: str, load_balancer_arn: str) -> Json:
    return {
        "type": "http_proxy",
        "httpMethod": method,
        "uri": uri,
        "requestParameters": _TENANT,
        "connectionType": "VPC_LINK",
        "connectionId": vpc_link_id,
        "integrationTarget": load_balancer_arn,
        "passthroughBehavior": "when_no_match",
    }
