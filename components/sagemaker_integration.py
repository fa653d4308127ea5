"""API Gateway's direct integration with SageMaker: Open Inference requests and answers go through unchanged.

InvokeEndpoint knows one route, the container's `POST /invocations`, and hands the container one header as it
is: the custom attributes. For metadata and readiness they name the route that is meant, so that both come
from the model and not from a record about it. An infer request needs no name; there they hold the tenant, as
the authorizer found it, and the container logs what it used. A mapping takes one source and cannot join two.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import json
from collections.abc import Mapping

from components.api_document import Json
from components.api_routes import MODEL_OPERATIONS

_RETRY_AFTER_S = 5
_MEDIA = ("application/json", "application/octet-stream")
_BODY: Json = {"passthroughBehavior": "when_no_templates"}
# InvokeEndpoint demands a body. A GET without a media type counts as JSON.
_NO_BODY: Json = {"passthroughBehavior": "never", "requestTemplates": dict.fromkeys(_MEDIA, "{}")}


def _error(message: str) -> str:
    return f'{{"error": {json.dumps(message)}, "request_id": "$context.requestId"}}'


# All that SageMaker answers but a success, told apart by the body:
# - 424 ModelError: the container's own status and body, which is the protocol's error, or none of that kind
#   (the container crashed, or was silent for 60 seconds);
# - 400 ValidationError "... has oversize body", the one fault of a client that SageMaker finds by itself;
# - everything else (ThrottlingException is a 400, ModelNotReadyException a 429): it does not take requests.
# A status and a header may be overridden once:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
_ERRORS = f"""\
#set($status = $input.path('$.OriginalStatusCode'))
#set($answer = $input.path('$.OriginalMessage'))
#if("$!answer" != "" && $answer.startsWith('{{"error"'))
#set($context.responseOverride.status = $status)
#if($status == 503)
#set($context.responseOverride.header.Retry-After = "{_RETRY_AFTER_S}")
#end
$answer
#elseif("$!status" != "")
#set($context.responseOverride.status = 502)
{_error("the model failed to answer; try again and report the request_id")}
#elseif($input.json('$').contains("oversize body"))
#set($context.responseOverride.status = 413)
{_error("the body is larger than the model's endpoint takes; send fewer rows, or a job")}
#else
#set($context.responseOverride.header.Retry-After = "{_RETRY_AFTER_S}")
{_error("the model's endpoint takes no requests now: it is starting, busy or out of order; try again")}
#end
"""


def integrations(*, model: str, endpoint_name: str, region: str, credentials_arn: str) -> Mapping[str, Json]:
    """Operation of `MODEL_OPERATIONS` -> `x-amazon-apigateway-integration`.

    Args:
        credentials_arn: role with which the gateway calls `sagemaker:InvokeEndpoint`.
    """
    uri = f"arn:aws:apigateway:{region}:runtime.sagemaker:path/endpoints/{endpoint_name}/invocations"
    return {
        operation: {
            "type": "aws",
            "httpMethod": "POST",
            "uri": uri,
            "credentials": credentials_arn,
            "requestParameters": {
                "integration.request.header.Accept": "'application/json'",
                "integration.request.header.Content-Type": "'application/json'",
                "integration.request.header.X-Amzn-SageMaker-Custom-Attributes": (
                    "context.authorizer.tenant"
                    if operation == "infer"
                    else f"'{method} /v2/models/{model}{end}'"
                ),
                # Ties a captured request to its line in the access log.
                "integration.request.header.X-Amzn-SageMaker-Inference-Id": "context.requestId",
            },
            **(_BODY if method == "POST" else _NO_BODY),
            "responses": {
                "default": {"statusCode": "200"},
                r"[45]\d{2}": {"statusCode": "503", "responseTemplates": {"application/json": _ERRORS}},
            },
        }
        for operation, (method, end) in MODEL_OPERATIONS.items()
    }


def refused(reason: str) -> Json:
    """An integration with which the gateway itself says why a model has no such operation."""
    return {
        "type": "mock",
        "passthroughBehavior": "never",
        "requestTemplates": dict.fromkeys(_MEDIA, '{"statusCode": 404}'),
        "responses": {
            "default": {"statusCode": "404", "responseTemplates": {"application/json": _error(reason)}}
        },
    }
