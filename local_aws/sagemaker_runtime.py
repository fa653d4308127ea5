"""SageMaker's runtime on this machine: requests to endpoints, led to the processes that stand for them.

    python -m local_aws.sagemaker_runtime

InvokeEndpoint is answered by the container at once; what InvokeEndpointAsync asks is worked on in the
background, and told of on the endpoint's topics. A container that does not run yet is waited for, as
SageMaker waits for the first instance. An unsigned request is refused, for a web page can send one.

Environment:
    SAGEMAKER_ENDPOINTS   JSON: name -> {port} and, of an asynchronous endpoint, {output, failure: S3 folders,
                          success_topic, error_topic: ARNs}
    PORT                  where to listen, on 127.0.0.1
"""

import json
import os
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3

READY_PATH = "/ping"
_ROUTE = re.compile(r"/endpoints/([A-Za-z0-9-]+)/(invocations|async-invocations)")
_HEADER = "X-Amzn-SageMaker-"
_WORKERS = 4
_TIMEOUT_S = 60  # what a container has for an answer
_RETRY_S = 0.5

Endpoints = Mapping[str, Mapping[str, Any]]
Said = tuple[int, bytes]


class Runtime(ThreadingHTTPServer):
    """Serves until it is shut down. `s3` and `sns`: clients of the AWS that has the buckets and topics."""

    daemon_threads = True

    def __init__(self, port: int, endpoints: Endpoints, s3: Any, sns: Any) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.endpoints, self._s3, self._sns = endpoints, s3, sns
        self._background = ThreadPoolExecutor(_WORKERS, "async-invocation")

    def answer(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Said:
        """What the container says. Raises URLError where it does not run, or ends meanwhile."""
        url = f"http://127.0.0.1:{self.endpoints[endpoint]['port']}/invocations"
        request = urllib.request.Request(url, body, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as found:  # noqa: S310 - as above
                return int(found.status), found.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (ConnectionError, HTTPException) as error:
            raise urllib.error.URLError(error) from error

    def later(self, endpoint: str, source: str, inference_id: str, headers: Mapping[str, str]) -> list[str]:
        """Start on the request at `source`; the places of its answer and of its failure."""
        told, name = self.endpoints[endpoint], uuid.uuid4().hex
        places = [f"{told['output']}/{name}.out", f"{told['failure']}/{name}-error.out"]
        self._background.submit(self._work, endpoint, source, places, inference_id, headers)
        return places

    def _work(
        self, endpoint: str, source: str, places: list[str], inference_id: str, headers: Mapping[str, str]
    ) -> None:
        body = self._s3.get_object(**_object(source))["Body"].read()
        while True:
            try:
                status, said = self.answer(endpoint, headers, body)
                break
            except urllib.error.URLError:
                time.sleep(_RETRY_S)
            except TimeoutError:
                status, said = 500, b"the container was silent for too long"
                break
        done = status == 200
        self._s3.put_object(**_object(places[0 if done else 1]), Body=said)
        # https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
        message = {
            "invocationStatus": "Completed" if done else "Failed",
            "inferenceId": inference_id,
            "requestParameters": {"endpointName": endpoint, "inputLocation": source},
            "responseParameters": {"outputLocation": places[0]},
        }
        topic = self.endpoints[endpoint]["success_topic" if done else "error_topic"]
        self._sns.publish(TopicArn=topic, Message=json.dumps(message))


class _Handler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200 if self.path == READY_PATH else 404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        found = _ROUTE.fullmatch(self.path)
        if not self.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            self._refuse(403, "AccessDeniedException", "the request is not signed")
        elif found is None or found[1] not in self.server.endpoints:
            self._refuse(400, "ValidationError", "there is no such endpoint")
        elif found[2] == "invocations":
            self._invoke(found[1], body)
        else:
            self._invoke_async(found[1])

    def _invoke(self, endpoint: str, body: bytes) -> None:
        try:
            status, said = self.server.answer(endpoint, self._for_container(), body)
        except urllib.error.URLError:
            self._refuse(503, "ServiceUnavailable", "the endpoint's container does not run")
            return
        if status == 200:
            self._send(200, said)
        else:
            text = said.decode(errors="replace")
            self._refuse(424, "ModelError", text, OriginalStatusCode=status, OriginalMessage=text)

    def _invoke_async(self, endpoint: str) -> None:
        if "output" not in self.server.endpoints[endpoint]:
            self._refuse(400, "ValidationError", "the endpoint is not asynchronous")
            return
        inference_id = self.headers.get(f"{_HEADER}Inference-Id") or str(uuid.uuid4())
        source = self.headers[f"{_HEADER}InputLocation"]
        output, failure = self.server.later(endpoint, source, inference_id, self._for_container())
        where = {f"{_HEADER}OutputLocation": output, f"{_HEADER}FailureLocation": failure}
        self._send(202, json.dumps({"InferenceId": inference_id}).encode(), where)

    def _for_container(self) -> dict[str, str]:
        """What SageMaker hands on."""
        given = self.headers.get("content-type") or self.headers.get(f"{_HEADER}Content-Type")
        attributes = {"content-type": given or "application/json"}
        if said := self.headers.get(f"{_HEADER}Custom-Attributes"):
            attributes[f"{_HEADER}Custom-Attributes"] = said
        return attributes

    def _refuse(self, status: int, kind: str, message: str, **more: object) -> None:
        self._send(status, json.dumps({"Message": message, **more}).encode(), {"x-amzn-ErrorType": kind})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the containers log their requests."""


def _object(uri: str) -> dict[str, str]:
    place = urlsplit(uri)
    return {"Bucket": place.netloc, "Key": place.path.lstrip("/")}


def main() -> None:
    """Serve until a signal ends the process."""
    endpoints = json.loads(os.environ["SAGEMAKER_ENDPOINTS"])
    Runtime(int(os.environ["PORT"]), endpoints, boto3.client("s3"), boto3.client("sns")).serve_forever()


if __name__ == "__main__":
    main()
