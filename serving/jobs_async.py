"""How workers ask an asynchronous SageMaker endpoint, which answers in S3 when it can.

    work/<model>/<job>/asked/<part>-<digest>.json    a request
    work/<model>/<job>/asked/<part>-<digest>.state   where its answer or its failure will be, and since when

What is asked first is only sent off; the worker leaves the part then, and SageMaker's message about the
answer brings it back. It goes through the part anew and finds what is answered by now, whoever asked: nothing
is kept between two messages but these objects, and what is asked twice costs time and nothing else.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson

from serving.jobs import Job
from serving.jobs_flow import Platform
from serving.jobs_predict import AnswersLater, Predicted, Predictor, TensorPredictor, TryLater
from serving.jobs_work import inference_id

# SageMaker drops a request after 6 hours in its queue, and stops one after 15 minutes of work.
FORGOTTEN_S = 7 * 3600


class AsyncAsk:
    """Asks about one part of a job. `client`: of `sagemaker-runtime`."""

    def __init__(self, platform: Platform, client: Any, endpoint: str, job: Job, part: int) -> None:
        self._platform, self._client, self._endpoint = platform, client, endpoint
        self._folder, self._part = f"{job.work_folder}/asked", part
        self._inference_id = inference_id(job, part)

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The answer, where there is one. Raises AnswersLater, or TryLater where nothing can be asked."""
        what = f"{method} {path}"
        digest = hashlib.sha256(what.encode() + b"\0" + body).hexdigest()[:32]
        key = f"{self._folder}/{self._part:06}-{digest}"
        known = self._read(f"{key}.state")
        if known is None:
            self._send(key, what, body, tries=1)
        state = json.loads(known)
        answer = self._read(state["output"])
        if answer is not None:
            return 200, answer
        failure = self._read(state["failure"])
        if failure is not None and _from_model(failure):
            return 400, failure
        if failure is not None and state["tries"] >= self._platform.attempts:
            # As of a function that fails: the rows are told apart by asking for fewer of them.
            return 500, b'{"error": "the model\'s endpoint failed on the row"}'
        if failure is not None or time.time() - state["asked"] > FORGOTTEN_S:
            self._send(key, what, body, tries=state["tries"] + 1)
        raise AnswersLater

    def _send(self, key: str, what: str, body: bytes, *, tries: int) -> NoReturn:
        """Send a request off and note it. Raises AnswersLater: that is all for now; or TryLater."""
        where = {"Bucket": self._platform.bucket}
        self._platform.s3.put_object(**where, Key=f"{key}.json", Body=body or b"{}")
        try:
            sent = self._client.invoke_endpoint_async(
                EndpointName=self._endpoint,
                ContentType="application/json",
                CustomAttributes=what,
                InferenceId=self._inference_id,
                InputLocation=f"s3://{self._platform.bucket}/{key}.json",
            )
        except self._client.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            raise TryLater(f"the model's endpoint cannot be invoked: {code}") from error
        state = {
            "output": urlsplit(sent["OutputLocation"]).path.lstrip("/"),
            "failure": urlsplit(sent["FailureLocation"]).path.lstrip("/"),
            "asked": int(time.time()),
            "tries": tries,
        }
        self._platform.s3.put_object(**where, Key=f"{key}.state", Body=json.dumps(state).encode())
        raise AnswersLater

    def _read(self, key: str) -> bytes | None:
        """An object's content; None where there is none, which S3 tells only to who may list."""
        s3, bucket = self._platform.s3, self._platform.bucket
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        if not listed or listed[0]["Key"] != key:
            return None
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


class AsyncPredictor:
    """Predicts by asking an asynchronous endpoint, which does not tell how long it computed."""

    def __init__(self, model: str, ask: AsyncAsk) -> None:
        self._predictor: Predictor = TensorPredictor(model, ask)

    def __call__(self, lines: Sequence[bytes]) -> Predicted:
        """Predict each line. Raises AnswersLater or TryLater."""
        predicted = self._predictor(lines)
        predicted.compute_ms = 0
        return predicted


def _from_model(failure: bytes) -> bool:
    """Whether a failure is the model's own refusal, in the protocol's words; others may pass."""
    try:
        return "error" in orjson.loads(failure)
    except (orjson.JSONDecodeError, TypeError):
        return False
