"""What the gateway itself answers when it refuses a request or cannot pass it on."""

import json

Json = dict[str, object]


def gateway_responses() -> Json:
    """JSON errors in the protocol's form for everything that the gateway itself refuses."""

    def response(status: int | None, message: str, **headers: str) -> Json:
        return {
            **({"statusCode": str(status)} if status else {}),
            "responseParameters": {
                f"gatewayresponse.header.{name.replace('_', '-')}": f"'{value}'"
                for name, value in headers.items()
            },
            "responseTemplates": {
                "application/json": f'{{"error": {message}, "request_id": "$context.requestId"}}'
            },
        }

    def text(message: str) -> str:
        return json.dumps(message)

    return {
        "DEFAULT_4XX": response(None, "$context.error.messageString"),
        "DEFAULT_5XX": response(
            None, text("the platform failed to answer; try again and report the request_id")
        ),
        "UNAUTHORIZED": response(
            401,
            text("a valid access token is required: Authorization: Bearer <token>"),
            WWW_Authenticate="Bearer",
        ),
        "ACCESS_DENIED": response(
            403, text("this token does not allow this call: check its scope and API key")
        ),
        "INVALID_API_KEY": response(403, text("the tenant's API key is missing or not valid here")),
        "MISSING_AUTHENTICATION_TOKEN": response(
            404, text("there is no such route; GET /v2/models lists the models")
        ),
        "BAD_REQUEST_BODY": response(
            400,
            text(
                "the body must be a JSON object with `inputs`, a list of tensors with name, shape and "
                "datatype (Open Inference Protocol v2)"
            ),
        ),
        "REQUEST_TOO_LARGE": response(413, text("the body is larger than 10 MB")),
        "WAF_FILTERED": response(403, text("the web firewall refused this request")),
        "THROTTLED": response(
            429, text("the tenant's rate is used up; slow down and try again"), Retry_After="1"
        ),
        "QUOTA_EXCEEDED": response(429, text("the tenant's daily quota is used up"), Retry_After="3600"),
        "INTEGRATION_TIMEOUT": response(504, text("the model did not answer in time")),
        # No router, or on `local` no process: as of a model that is cold.
        "INTEGRATION_FAILURE": response(
            503,
            text("the model's backend cannot be reached: it is starting or out of order; try again"),
            Retry_After="5",
        ),
    }
