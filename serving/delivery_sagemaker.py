"""Steps that bring a model version to life on a SageMaker endpoint, which shifts the requests itself.

    prepare    a model and an endpoint configuration like the live ones, with the version's files
    shift      UpdateEndpoint with the guardrails: a canary that the endpoint's alarms undo
    watch      whether it is done, and whether the configuration that serves is the one that was asked for
    roll_back  the configuration that served before, where the new one does

A deployment that the alarms undo ends `InService`, as one that went through: only the name of the
configuration tells them apart. https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from serving.delivery import Candidate
from serving.errors import DeliveryRefused

_VERSION = re.compile(r"s3://[^/]+/models/[^/]+/([^/]+)/")
_LONGEST_NAME = 63
# What is read from a model or a configuration and may not be given to another.
_OF_THE_OLD = frozenset(
    {
        "CreationTime",
        "DeploymentRecommendation",
        "EndpointConfigArn",
        "EndpointConfigName",
        "ModelArn",
        "ModelName",
        "ResponseMetadata",
    }
)


class EndpointBusy(Exception):
    """The endpoint is being updated, and an update cannot be stopped; ask again."""


class SageMakerTarget:
    """The endpoint that serves one model. `deployment`: the DeploymentConfig of its updates."""

    def __init__(self, client: Any, endpoint: str, deployment: Mapping[str, Any]) -> None:
        self._client, self._endpoint, self._deployment = client, endpoint, deployment

    def prepare(self, candidate: Candidate) -> Mapping[str, Any]:
        """Make the configuration that serves the candidate, unless the endpoint has one in service."""
        endpoint = self._settled()
        live = endpoint["EndpointConfigName"]
        configuration = self._client.describe_endpoint_config(EndpointConfigName=live)
        model = self._model_of(configuration)
        served = _version_of(model)
        found = {"previous": served, "previous_config": live}
        if served == candidate.version:
            return {**found, "config": live, "unchanged": True}
        name = _name(self._endpoint, candidate)
        self._make(
            "model", name, ModelName=name, **_with_version(_settings(model), served, candidate.version)
        )
        variants = [{**variant, "ModelName": name} for variant in configuration["ProductionVariants"]]
        settings = {**_settings(configuration), "ProductionVariants": variants}
        self._make("endpoint_config", name, EndpointConfigName=name, **settings)
        return {**found, "config": name, "unchanged": False}

    def shift(self, config: str) -> None:
        """Start the update, unless it has been started."""
        if self._describe()["EndpointConfigName"] == config:
            return
        try:
            self._client.update_endpoint(
                EndpointName=self._endpoint,
                EndpointConfigName=config,
                DeploymentConfig=dict(self._deployment),
                RetainAllVariantProperties=True,
            )
        except ClientError:
            if self._describe()["EndpointStatus"] != "Updating":
                raise  # else this step was killed after it had begun the update

    def watch(self, config: str) -> bool:
        """Whether the update is done. Raises DeliveryRefused when another configuration serves in the end."""
        endpoint = self._describe()
        if endpoint["EndpointStatus"] in ("Updating", "SystemUpdating", "RollingBack"):
            return False
        reason = endpoint.get("FailureReason", "no reason given")
        if endpoint["EndpointStatus"] != "InService":
            raise DeliveryRefused(f"{self._endpoint} is {endpoint['EndpointStatus']}: {reason}")
        if endpoint["EndpointConfigName"] != config:
            raise DeliveryRefused(
                f"canary: {self._endpoint} went back to {endpoint['EndpointConfigName']}: {reason}"
            )
        return True

    def roll_back(self, previous_config: str | None, config: str | None) -> str:
        """Bring the configuration back that served before the delivery; the model version that serves.

        Raises EndpointBusy while an update is under way.
        """
        endpoint = self._settled()
        if previous_config and config and endpoint["EndpointConfigName"] == config != previous_config:
            self._client.update_endpoint(
                EndpointName=self._endpoint,
                EndpointConfigName=previous_config,
                RetainAllVariantProperties=True,
            )
            raise EndpointBusy(f"{self._endpoint} goes back to {previous_config}")
        live = self._client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        return _version_of(self._model_of(live))

    def _describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.describe_endpoint(EndpointName=self._endpoint)
        return found

    def _settled(self) -> dict[str, Any]:
        endpoint = self._describe()
        if endpoint["EndpointStatus"] not in ("InService", "Failed"):
            raise EndpointBusy(f"{self._endpoint} is {endpoint['EndpointStatus']}")
        return endpoint

    def _model_of(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        [variant] = configuration["ProductionVariants"]
        found: dict[str, Any] = self._client.describe_model(ModelName=variant["ModelName"])
        return found

    def _make(self, kind: str, name: str, **settings: Any) -> None:
        """Create a model or a configuration; one of that name is this delivery's, and the same."""
        try:
            getattr(self._client, f"create_{kind}")(**settings)
        except ClientError as error:
            text = error.response["Error"]
            if text["Code"] != "ValidationException" or "already existing" not in text["Message"]:
                raise


def _settings(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key not in _OF_THE_OLD}


def _version_of(model: Mapping[str, Any]) -> str:
    found = _VERSION.search(str(model))
    return found[1] if found else "none"


def _with_version(value: Any, old: str, new: str) -> Any:
    """A copy that names the files of another version; also where the container is told its version."""
    if isinstance(value, Mapping):
        copied = {key: _with_version(item, old, new) for key, item in value.items()}
        return {**copied, "MODEL_VERSION": new} if "MODEL_VERSION" in copied else copied
    if isinstance(value, list):
        return [_with_version(item, old, new) for item in value]
    if isinstance(value, str) and value.startswith("s3://"):
        return re.sub(rf"(s3://[^/]+/models/[^/]+/){re.escape(old)}/", rf"\g<1>{new}/", value)
    return value


def _name(endpoint: str, candidate: Candidate) -> str:
    """Name of the model and the configuration: letters, digits and hyphens, 63 at most, one a delivery."""
    tail = re.sub("[^a-zA-Z0-9-]", "-", f"{candidate.version}-{candidate.digest[:8]}")
    return f"{endpoint[: _LONGEST_NAME - len(tail) - 1]}-{tail}"
