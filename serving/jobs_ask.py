"""How workers reach a model: through its function, or over HTTP where its server runs."""

import json
import uuid
from typing import Any

from serving.jobs_predict import Ask, TryLater


def through_function(client: Any, function: str, *, last: bool) -> Ask:
    """Ask by invoking a model's function with what the gateway would send it.

    A function that fails may work at the next try; at the last one its failure is the rows' own, which are
    then told apart by asking for fewer of them.
    """

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
