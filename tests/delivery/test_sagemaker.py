"""The steps on a SageMaker endpoint, against a client that answers as the service's documentation says."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from serving.delivery import Candidate
from serving.delivery_sagemaker import EndpointBusy, SageMakerTarget
from serving.errors import DeliveryRefused

CANDIDATE = Candidate(id="d", model="fraud", version="v2", digest="ab" * 32, golden=1, p99_ms=100)
SOURCE = {"S3DataSources": [{"S3Uri": "s3://models/models/fraud/v1/", "CompressionType": "None"}]}


class SageMaker:
    """An endpoint with one configuration and model; `finish` ends an update, for good or back."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {
            "first": {
                "ModelName": "first",
                "ModelArn": "arn",
                "CreationTime": "now",
                "ExecutionRoleArn": "arn:role",
                "PrimaryContainer": {"Image": "server", "ModelDataSource": SOURCE},
                "EnableNetworkIsolation": True,
            }
        }
        variant = {"VariantName": "main", "ModelName": "first", "InstanceType": "ml.g5.xlarge"}
        self.configs: dict[str, Any] = {
            "first": {"EndpointConfigName": "first", "ProductionVariants": [variant], "KmsKeyId": "key"}
        }
        self.live, self.coming, self.updates = "first", "", 0

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        status = "Updating" if self.coming else "InService"
        return {"EndpointConfigName": self.live, "EndpointStatus": status}

    def describe_endpoint_config(self, EndpointConfigName: str) -> Any:  # noqa: N803 - boto3's name
        return self.configs[EndpointConfigName]

    def describe_model(self, ModelName: str) -> Any:  # noqa: N803 - boto3's name
        return self.models[ModelName]

    def create_model(self, ModelName: str, **settings: Any) -> None:  # noqa: N803 - boto3's name
        self._new(self.models, ModelName, settings)

    def create_endpoint_config(self, EndpointConfigName: str, **settings: Any) -> None:  # noqa: N803
        self._new(self.configs, EndpointConfigName, settings)

    def update_endpoint(self, EndpointConfigName: str, **settings: Any) -> None:  # noqa: N803
        if self.coming:
            raise _error("Cannot update in-progress endpoint")
        assert settings["RetainAllVariantProperties"] is True
        self.coming, self.updates = EndpointConfigName, self.updates + 1

    def finish(self, *, back: bool = False) -> None:
        self.live, self.coming = self.live if back else self.coming, ""

    @staticmethod
    def _new(where: dict[str, Any], name: str, settings: dict[str, Any]) -> None:
        if name in where:
            raise _error("Cannot create already existing resource")
        assert not settings.keys() & {"CreationTime", "ModelArn"}
        where[name] = settings


def _error(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Operation")


def test_a_new_version_is_served_by_a_model_and_a_configuration_like_the_old_ones() -> None:
    client = SageMaker()
    target = SageMakerTarget(client, "platform-fraud", {"BlueGreenUpdatePolicy": {}})
    found = [target.prepare(CANDIDATE) for _ in range(2)]  # killed and run again
    assert found[0] == found[1]
    config = str(found[0]["config"])
    assert (found[0]["previous"], found[0]["unchanged"]) == ("v1", False)
    model = client.models[config]
    assert model["PrimaryContainer"]["ModelDataSource"]["S3DataSources"][0]["S3Uri"].endswith("/fraud/v2/")
    assert model["ExecutionRoleArn"] == "arn:role"
    assert client.configs[config]["ProductionVariants"][0]["InstanceType"] == "ml.g5.xlarge"
    for _ in range(2):
        target.shift(config)
    assert client.updates == 1
    assert target.watch(config) is False
    with pytest.raises(EndpointBusy):
        target.roll_back("first", config)
    client.finish()
    assert target.watch(config) is True
    assert target.prepare(CANDIDATE)["unchanged"] is True


def test_an_update_that_went_back_in_silence_is_a_failure() -> None:
    client = SageMaker()
    target = SageMakerTarget(client, "platform-fraud", {})
    config = str(target.prepare(CANDIDATE)["config"])
    target.shift(config)
    client.finish(back=True)
    with pytest.raises(DeliveryRefused, match="canary: platform-fraud went back to first"):
        target.watch(config)
    assert target.roll_back("first", config) == "v1"


def test_rolling_back_what_went_live_takes_an_update_and_patience() -> None:
    client = SageMaker()
    target = SageMakerTarget(client, "platform-fraud", {})
    config = str(target.prepare(CANDIDATE)["config"])
    target.shift(config)
    client.finish()
    for _ in range(2):
        with pytest.raises(EndpointBusy):
            target.roll_back("first", config)
    client.finish()
    assert target.roll_back("first", config) == "v1"


class Killed(Exception):
    """The process ends here."""


class Dying:
    """A client whose caller is killed at its n-th change: before it, or once the service has done it."""

    def __init__(self, client: SageMaker, changes: int, *, done: bool) -> None:
        self._client, self._left, self._done = client, changes, done

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if not name.startswith(("create_", "update_")):
            return real

        def call(**arguments: Any) -> None:
            self._left -= 1
            if self._left >= 0 or self._done:
                real(**arguments)
            if self._left < 0:
                raise Killed(name)

        return call


def begun(client: Any) -> str:
    """The steps up to the update; the configuration that it brings."""
    target = SageMakerTarget(client, "platform-fraud", {})
    config = str(target.prepare(CANDIDATE)["config"])
    target.shift(config)
    return config


@pytest.mark.parametrize("changes", range(3))
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_change_and_run_again_it_is_as_once(changes: int, done: bool) -> None:
    client = SageMaker()
    with pytest.raises(Killed):
        begun(Dying(client, changes, done=done))
    # The machine runs the step again that was killed, not those before.
    target, killed_in_shift = SageMakerTarget(client, "platform-fraud", {}), changes == 2
    config = "platform-fraud-v2-abababab"
    if killed_in_shift:
        target.shift(config)
    else:
        assert begun(client) == config
    client.finish()
    assert target.watch(config) is True
    assert (client.updates, len(client.models), len(client.configs)) == (1, 2, 2)


@pytest.mark.parametrize("changes", range(3))
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_change_and_given_up_the_recovery_says_what_serves(changes: int, done: bool) -> None:
    client = SageMaker()
    with pytest.raises(Killed):
        begun(Dying(client, changes, done=done))
    target, moved = SageMakerTarget(client, "platform-fraud", {}), changes == 2 and done
    if moved:
        with pytest.raises(EndpointBusy):  # an update cannot be stopped; the machine asks again
            target.roll_back(None, None)
        client.finish()
    assert target.roll_back(None, None) == ("v2" if moved else "v1")
