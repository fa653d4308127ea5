"""AWS operations by boto3's names: their shapes, and calls whose errors a user can act on."""

import contextlib
import contextvars
import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

# Most services have a code for a resource that is not there; SageMaker and GuardDuty say it in words.
_MISSING = re.compile(
    r"NotFound|NoSuch|DoesNotExist|NotExist|NonExist|^404|NoSet|could not find|not owned by the current",
    re.IGNORECASE,
)
_EXISTS = re.compile(r"Exist|Conflict|Duplicate|AlreadyOwned|InUse", re.IGNORECASE)
CREATION_HEADER = "X-Creation"
"""What the embedded AWS answers once: a repeated request gets the first answer (`emulator_server`)."""

_creation = contextvars.ContextVar("creation", default="")

# These two speak to moto; every other service to ministack.
MOTO_SERVICES = ("sagemaker", "guardduty")


class CallFailed(Exception):
    """AWS refused an operation: its code, and a message with the operation and AWS's reason."""

    def __init__(self, operation: str, code: str, reason: str) -> None:
        super().__init__(f"{operation}: {code}: {reason}")
        self._said = f"{code}: {reason}" if code in ("BadRequestException", "ValidationException") else code

    @property
    def missing(self) -> bool:
        """Whether the resource, or one that it is part of, is not there."""
        return bool(_MISSING.search(self._said))

    @property
    def exists(self) -> bool:
        """Whether there is one of that name already."""
        return bool(_EXISTS.search(self._said)) and not self.missing


@functools.cache
def _session() -> Any:
    """A session that knows nothing of the user's own AWS set-up, whatever profile it names."""
    nowhere = (None, None, os.devnull, None)
    settings = {"config_file": nowhere, "credentials_file": nowhere, "profile": (None, None, None, None)}
    return botocore.session.Session(session_vars=settings)


@functools.cache
def input_shape(service: str, operation: str) -> Any:
    """botocore's shape of an operation's parameters; it needs no client and no network."""
    model, names = _model(service)
    return model.operation_model(names[operation]).input_shape


@functools.cache
def _model(service: str) -> tuple[Any, dict[str, str]]:
    with _LOADING:
        model = _session().get_service_model(service)
        return model, {xform_name(name): name for name in model.operation_names}


_LOADING = threading.RLock()


class Operations:
    """Calls to the embedded AWS in one region. Clients are made once each, on first use.

    `endpoints` maps `ministack` and `moto` to base URLs, `key` is an access key's id and secret. Nothing else
    of the user's AWS set-up counts: no profile, no shared credentials, no proxy.
    """

    def __init__(self, endpoints: Mapping[str, str], key: tuple[str, str], region: str) -> None:
        self._endpoints, self._key, self.region = endpoints, key, region
        self.endpoint = endpoints["ministack"]
        self._clients: dict[str, Any] = {}

    def run(self, service: str, operation: str, **parameters: Any) -> Any:
        """The response of an operation, all pages of it in one.

        Raises:
            CallFailed: AWS refused it, or the parameters do not fit the operation.
        """
        client = self._client(service)
        try:
            if client.can_paginate(operation):
                return client.get_paginator(operation).paginate(**parameters).build_full_result()
            return getattr(client, operation)(**parameters)
        except ClientError as error:
            answer = error.response.get("Error", {})
            raise CallFailed(
                operation, str(answer.get("Code", "Unknown")), answer.get("Message") or str(error)
            ) from error
        except ParamValidationError as error:
            raise CallFailed(operation, "ParamValidation", error.kwargs["report"]) from error
        except BotoCoreError as error:
            raise CallFailed(operation, type(error).__name__, str(error)) from error

    @contextlib.contextmanager
    def once(self, attempt: str) -> Iterator[None]:
        """Requests within are of one attempt: each is carried out once, however often it is sent."""
        token = _creation.set(attempt)
        try:
            yield
        finally:
            _creation.reset(token)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            with _LOADING:  # a session may not make two clients at once
                endpoint = self._endpoints["moto" if service in MOTO_SERVICES else "ministack"]
                client = _session().create_client(
                    service,
                    region_name=self.region,
                    endpoint_url=endpoint,
                    aws_access_key_id=self._key[0],
                    aws_secret_access_key=self._key[1],
                    config=Config(
                        proxies={},
                        max_pool_connections=32,
                        connect_timeout=5,
                        retries={"max_attempts": 3},
                        s3={"addressing_style": "path"},
                    ),
                )
                client.meta.events.register("before-sign", _name_the_attempt)
                self._clients[service] = client
        return self._clients[service]


def _name_the_attempt(request: Any, **_: Any) -> None:
    if attempt := _creation.get():
        request.headers[CREATION_HEADER] = attempt
