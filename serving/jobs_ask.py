"""How workers reach a model: through its function, its endpoint, or over HTTP where its server runs.

A model that fails may work at the next try; at the last one its failure is the rows' own, which are then told
apart by asking for fewer of them.
"""

import json
import uuid
from typing import Any

from serving.jobs_predict import Ask, TryLater


def through_function(client: Any, function: str, *, last: bool) -> Ask:
    """Ask by invoking a model's function with what the gateway would send it."""

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        event = {
            "httpMethod": method,
            "resource": path,
            "headers": {"content-type": "application/json"},
            # No tenant: what jobs use is counted by their table, and must not be counted twice.
            "requestContext": {"requestId": uuid.uuid4().hex},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        try:
            answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        except client.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            raise TryLater(f"the model's function cannot be invoked: {code}") from error
        content = json.loads(answer["Payload"].read() or b"{}")
        if "FunctionError" in answer:
            if not last:
                raise TryLater("the model's function failed")
            return 500, json.dumps({"error": "the model's function failed on the row"}).encode()
        return int(content["statusCode"]), str(content["body"]).encode()

    return ask


def through_endpoint(client: Any, endpoint: str, *, last: bool) -> Ask:
    """Ask a SageMaker endpoint that answers at once. `client`: of `sagemaker-runtime`."""

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        try:
            answer = client.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/json",
                CustomAttributes=f"{method} {path}",
                Body=body or b"{}",  # SageMaker demands one
            )
        except client.exceptions.ModelError as error:
            status = int(error.response["OriginalStatusCode"])
            if status >= 500 and not last:
                raise TryLater(f"the model's endpoint failed: status {status}") from error
            return status, str(error.response["OriginalMessage"]).encode()
        except client.exceptions.ClientError as error:
            if "oversize body" in error.response["Error"]["Message"]:
                return 413, b'{"error": "the row is larger than the model\'s endpoint takes"}'
            code = error.response["Error"]["Code"]
            raise TryLater(f"the model's endpoint cannot be invoked: {code}") from error
        return 200, bytes(answer["Body"].read())

    return ask


def over_http(http: Any, base_url: str) -> Ask:
    """Ask a model's server. `http`: a urllib3 pool manager."""

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        from urllib3.exceptions import HTTPError

        headers = {"content-type": "application/json"}
        try:
            answer = http.request(method, base_url + path, body=body or None, headers=headers, timeout=300)
        except HTTPError as error:
            raise TryLater(f"the model's server does not answer: {type(error).__name__}") from error
        return int(answer.status), bytes(answer.data)

    return ask
