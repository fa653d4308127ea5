"""Delivery against the embedded AWS: good versions go live, bad ones change nothing, twice is as once."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError

from serving import publication
from serving.delivery import Candidate, LambdaTarget
from serving.errors import DeliveryRefused
from serving.manifest import FILE_NAME, Manifest
from serving.publication import verify

pytestmark = pytest.mark.integration

Folder = Callable[..., Path]


@pytest.fixture
def s3(aws: Any) -> Any:
    return aws.client("s3")


@pytest.fixture
def lambdas(aws: Any) -> Any:
    return aws.client("lambda")


def keys(s3: Any, bucket: str) -> dict[str, str]:
    """What the bucket holds: key -> ETag."""
    return {item["Key"]: item["ETag"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def publish(s3: Any, bucket: str, folder: Path) -> Manifest:
    return publication.publish(s3, bucket, folder)[0]


def candidate_of(manifest: Manifest, delivery_id: str = "d", p99_ms: float = 5000) -> Candidate:
    return Candidate(
        id=delivery_id,
        model=manifest.name,
        version=manifest.version,
        digest=manifest.sha256,
        golden=len(manifest.golden),
        p99_ms=p99_ms,
    )


def deliver(client: Any, function: str, manifest: Manifest, **settings: Any) -> dict[str, Any]:
    """The steps in the state machine's order, without a canary."""
    target, candidate = LambdaTarget(client, function, "live"), candidate_of(manifest, **settings)
    found = dict(target.prepare(candidate))
    if not found["unchanged"]:
        try:
            target.attempt(candidate, found["lambda_version"])
        except DeliveryRefused:
            target.roll_back()
            raise
        target.promote(found["lambda_version"])
    return found


class Killed(Exception):
    """The process ends here."""


class Dying:
    """A client that kills the caller at the n-th call that changes something."""

    def __init__(self, client: Any, calls: int) -> None:
        self._client, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if not name.startswith(("put_", "update_", "publish_", "delete_", "invoke")):
            return real

        def call(**arguments: Any) -> Any:
            if self._left == 0:
                raise Killed(name)
            self._left -= 1
            return real(**arguments)

        return call


class TestPublish:
    def test_a_folder_goes_to_its_place_and_the_manifest_goes_last(
        self, s3: Any, bucket: str, digits: Path
    ) -> None:
        put: list[str] = []
        s3.meta.events.register(
            "before-call.s3.PutObject", lambda params, **_: put.append(params["url_path"])
        )
        manifest = publish(s3, bucket, digits)
        assert [path.rsplit("/", 1)[-1] for path in put] == ["model.onnx", "model.tar.gz", "manifest.json"]
        assert set(keys(s3, bucket)) == {
            "models/digits/v1/model.onnx",
            "models/digits/v1/model.tar.gz",
            "models/digits/v1/manifest.json",
        }
        packed = s3.get_object(Bucket=bucket, Key="models/digits/v1/model.tar.gz")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            held = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        assert held == {name: (digits / name).read_bytes() for name in ("model.onnx", "manifest.json")}
        assert verify(s3, bucket, "digits", "v1") == manifest

    def test_the_same_bytes_again_change_nothing(self, s3: Any, bucket: str, digits: Path) -> None:
        first = publish(s3, bucket, digits)
        put: list[str] = []
        s3.meta.events.register(
            "before-call.s3.PutObject", lambda params, **_: put.append(params["url_path"])
        )
        assert publish(s3, bucket, digits) == first
        assert put == []

    def test_other_bytes_for_a_version_that_exists_are_refused(
        self, s3: Any, bucket: str, scale_folder: Folder
    ) -> None:
        publish(s3, bucket, scale_folder("v1", 2.0))
        before = keys(s3, bucket)
        with pytest.raises(DeliveryRefused, match="scale v1 exists with other bytes"):
            publish(s3, bucket, scale_folder("v1", 3.0))
        assert keys(s3, bucket) == before

    def test_two_publishers_at_once_give_one_version_and_one_refusal(
        self, s3: Any, bucket: str, scale_folder: Folder
    ) -> None:
        first, second = scale_folder("v1", 2.0), scale_folder("v1", 3.0)

        class Overtaken:
            """The other publisher's manifest comes between this one's model and this one's manifest."""

            def __getattr__(self, name: str) -> Any:
                return getattr(s3, name)

            def put_object(self, **arguments: Any) -> Any:
                if arguments["Key"].endswith(FILE_NAME):
                    s3.put_object(Bucket=bucket, Key=arguments["Key"], Body=(second / FILE_NAME).read_bytes())
                return s3.put_object(**arguments)

        with pytest.raises(DeliveryRefused, match="scale v1 exists with other bytes"):
            publish(Overtaken(), bucket, first)
        with pytest.raises(DeliveryRefused, match=r"the file of scale v1 has .* its manifest says"):
            verify(s3, bucket, "scale", "v1")
        # The manifest that came first decides; publishing it again puts its model right.
        manifest = publish(s3, bucket, second)
        assert verify(s3, bucket, "scale", "v1") == manifest

    def test_killed_at_any_point_it_can_be_repeated(self, s3: Any, bucket: str, scale_folder: Folder) -> None:
        folder = scale_folder("v1")
        for calls in (0, 1, 2):
            with pytest.raises(Killed):
                publish(Dying(s3, calls), bucket, folder)
            with pytest.raises(DeliveryRefused, match="the manifest of scale v1 is not in the store"):
                verify(s3, bucket, "scale", "v1")
        manifest = publish(s3, bucket, folder)
        assert verify(s3, bucket, "scale", "v1") == manifest

    def test_a_lost_or_damaged_file_is_put_right_by_publishing_again(
        self, s3: Any, bucket: str, scale_folder: Folder
    ) -> None:
        folder = scale_folder("v1")
        publish(s3, bucket, folder)
        s3.put_object(Bucket=bucket, Key="models/scale/v1/model.onnx", Body=b"damaged")
        with pytest.raises(DeliveryRefused, match="the file of scale v1 has 7 bytes"):
            verify(s3, bucket, "scale", "v1")
        publish(s3, bucket, folder)
        verify(s3, bucket, "scale", "v1")

    @pytest.mark.parametrize(
        ("file", "change", "reason"),
        [
            ("model.onnx", lambda data: data + b"!", "has .* bytes and sha256 .* its manifest says"),
            ("model.onnx", None, "the folder misses model.onnx"),
            ("manifest.json", None, "the folder misses manifest.json"),
            ("manifest.json", lambda _: b"{", "the manifest is not JSON"),
            ("manifest.json", lambda data: data.replace(b'"scale"', b'"../../x"'), "name must be a string"),
            ("manifest.json", lambda data: data.replace(b'"v1"', b'"../v1"'), "version must be a string"),
            (
                "manifest.json",
                lambda data: data.replace(b"model.onnx", b"../m.onnx"),
                "file must be a string",
            ),
            (
                "manifest.json",
                lambda data: data.replace(b"[1,2]", b"[1,3]"),
                "input 'x': shape .1, 3. does not",
            ),
        ],
    )
    def test_a_folder_at_fault_is_refused_before_anything_is_written(
        self, s3: Any, bucket: str, scale_folder: Folder, file: str, change: Any, reason: str
    ) -> None:
        folder = scale_folder("v1")
        path = folder / file
        data = path.read_bytes()
        path.unlink()
        if change is not None:
            assert change(data) != data
            path.write_bytes(change(data))
        with pytest.raises(DeliveryRefused, match=reason):
            publish(s3, bucket, folder)
        assert keys(s3, bucket) == {}


class TestDeliverLambda:
    @pytest.fixture
    def published(self, s3: Any, bucket: str, scale_folder: Folder) -> Callable[..., Manifest]:
        return lambda *arguments: publish(s3, bucket, scale_folder(*arguments))

    @pytest.fixture
    def function(self, published: Callable[..., Manifest], model_function: Callable[..., str]) -> str:
        published("v1", 2.0)
        return model_function("scale", "v1")

    @staticmethod
    def predict(lambdas: Any, function: str) -> tuple[str, list[float]]:
        """Ask the alias: the version that answered and twice or thrice (1, 3)."""
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 3]}
        event = {
            "httpMethod": "POST",
            "resource": "/v2/models/scale/infer",
            "requestContext": {"requestId": "r"},
            "body": json.dumps({"inputs": [tensor]}),
        }
        answer = lambdas.invoke(FunctionName=function, Qualifier="live", Payload=json.dumps(event))
        body = json.loads(json.load(answer["Payload"])["body"])
        return body["model_version"], body["outputs"][0]["data"]

    @staticmethod
    def state(lambdas: Any, function: str) -> tuple[str, str, set[str]]:
        """The alias' Lambda version, the model version in $LATEST's configuration, all Lambda versions."""
        alias = lambdas.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
        configuration = lambdas.get_function_configuration(FunctionName=function)
        versions = {
            v["Version"] for v in lambdas.list_versions_by_function(FunctionName=function)["Versions"]
        }
        return alias, configuration["Environment"]["Variables"]["MODEL_VERSION"], versions

    def test_a_good_version_goes_live_and_again_is_a_no_op(
        self, lambdas: Any, function: str, published: Callable[..., Manifest]
    ) -> None:
        assert self.predict(lambdas, function) == ("v1", [2, 6])
        manifest = published("v2", 3.0)
        delivered = deliver(lambdas, function, manifest)
        assert delivered == {"previous": "v1", "lambda_version": "2", "unchanged": False}
        assert self.predict(lambdas, function) == ("v2", [3, 9])
        before = self.state(lambdas, function)
        again = deliver(lambdas, function, manifest)
        assert again == {"previous": "v2", "lambda_version": "2", "unchanged": True}
        assert self.state(lambdas, function) == before == ("2", "v2", {"$LATEST", "1", "2"})

    def test_settings_that_a_deployment_changed_reach_the_clients(
        self, lambdas: Any, function: str, published: Callable[..., Manifest]
    ) -> None:
        manifest = published("v2", 3.0)
        deliver(lambdas, function, manifest)
        lambdas.update_function_configuration(FunctionName=function, MemorySize=768)
        again = deliver(lambdas, function, manifest)
        assert again == {"previous": "v2", "lambda_version": "3", "unchanged": False}
        live = lambdas.get_function_configuration(FunctionName=function, Qualifier="live")
        assert live["MemorySize"] == 768

    def test_other_variables_of_the_function_are_kept(
        self, lambdas: Any, function: str, published: Callable[..., Manifest], bucket: str
    ) -> None:
        deliver(lambdas, function, published("v2", 3.0))
        variables = lambdas.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        assert (variables["MODEL_NAME"], variables["MODEL_BUCKET"]) == ("scale", bucket)
        assert variables.keys() == {"MODEL_NAME", "MODEL_VERSION", "MODEL_BUCKET", "MODEL_CACHE_DIR"}

    def test_golden_outputs_that_differ_are_refused_and_nothing_changed(
        self, lambdas: Any, function: str, published: Callable[..., Manifest]
    ) -> None:
        lying = published("v2", 3.0, 2.0)
        with pytest.raises(DeliveryRefused, match="golden request one: output 'y' is off by up to 3"):
            deliver(lambdas, function, lying)
        assert self.state(lambdas, function) == ("1", "v1", {"$LATEST", "1"})
        assert self.predict(lambdas, function) == ("v1", [2, 6])

    @pytest.mark.parametrize(
        ("key", "body", "reason"),
        [
            ("model.onnx", b"other bytes", "the file of scale v2 has 11 bytes"),
            ("manifest.json", b"{}", "the manifest must have exactly"),
            ("manifest.json", None, "the manifest of scale v2 is not in the store"),
        ],
    )
    def test_a_version_that_cannot_be_loaded_is_refused_and_nothing_changed(
        self,
        lambdas: Any,
        s3: Any,
        bucket: str,
        function: str,
        published: Callable[..., Manifest],
        key: str,
        body: bytes | None,
        reason: str,
    ) -> None:
        manifest = published("v2", 3.0)
        if body is None:
            s3.delete_object(Bucket=bucket, Key=f"models/scale/v2/{key}")
        else:
            s3.put_object(Bucket=bucket, Key=f"models/scale/v2/{key}", Body=body)
        with pytest.raises(DeliveryRefused, match=reason):
            deliver(lambdas, function, manifest)
        assert self.state(lambdas, function) == ("1", "v1", {"$LATEST", "1"})
        assert self.predict(lambdas, function) == ("v1", [2, 6])

    def test_bytes_that_are_no_model_and_a_signature_that_lies_are_refused(
        self, lambdas: Any, s3: Any, bucket: str, function: str, scale_folder: Folder, scale_manifest: Any
    ) -> None:
        for version, change, reason in (
            ("v2", lambda data: b"no onnx", "is no ONNX that can run here: InvalidProtobuf"),
            ("v3", lambda data: data.replace(b"\x01y", b"\x01z"), "has the outputs"),
        ):
            folder = scale_folder(version)
            data = change((folder / "model.onnx").read_bytes())
            (folder / "model.onnx").write_bytes(data)
            (folder / FILE_NAME).write_bytes(scale_manifest(data, version).encode())
            manifest = publish(s3, bucket, folder)
            with pytest.raises(DeliveryRefused, match=reason):
                deliver(lambdas, function, manifest)
        assert self.state(lambdas, function) == ("1", "v1", {"$LATEST", "1"})

    @pytest.mark.parametrize("calls", range(4))
    def test_killed_at_any_step_the_old_version_serves_and_a_repeat_finishes_the_job(
        self, lambdas: Any, function: str, published: Callable[..., Manifest], calls: int
    ) -> None:
        manifest = published("v2", 3.0)
        try:
            deliver(Dying(lambdas, calls), function, manifest)
        except Killed:
            assert self.predict(lambdas, function) == ("v1", [2, 6])
        else:
            pytest.fail("there are fewer steps than this test kills at")
        deliver(lambdas, function, manifest)
        assert self.predict(lambdas, function) == ("v2", [3, 9])

    def test_a_change_by_somebody_else_in_between_is_refused(
        self, lambdas: Any, function: str, published: Callable[..., Manifest]
    ) -> None:
        manifest = published("v2", 3.0)

        class Interfering(Dying):
            def __getattr__(self, name: str) -> Any:
                if name == "update_alias":
                    self._client.update_alias(FunctionName=function, Name="live", Description="moved")
                return getattr(self._client, name)

        with pytest.raises(DeliveryRefused, match="somebody else changed the alias live"):
            deliver(Interfering(lambdas, 0), function, manifest)
        assert lambdas.get_alias(FunctionName=function, Name="live")["Description"] == "moved"
        assert self.predict(lambdas, function) == ("v1", [2, 6])
        LambdaTarget(lambdas, function, "live").roll_back()  # as the machine does next
        assert self.state(lambdas, function) == ("1", "v1", {"$LATEST", "1"})

    def test_a_function_of_another_model_and_a_missing_alias_are_refused(
        self,
        lambdas: Any,
        function: str,
        published: Callable[..., Manifest],
        s3: Any,
        bucket: str,
        digits: Path,
    ) -> None:
        with pytest.raises(DeliveryRefused, match=f"{function} serves scale, not digits"):
            deliver(lambdas, function, publish(s3, bucket, digits))
        with pytest.raises(DeliveryRefused, match="has no alias canary"):
            LambdaTarget(lambdas, function, "canary").prepare(candidate_of(published("v2")))

    def test_a_role_cannot_read_another_models_files(
        self, aws: Any, bucket: str, function: str, s3: Any, digits: Path, lambdas: Any
    ) -> None:
        publish(s3, bucket, digits)
        lambdas.update_function_configuration(
            FunctionName=function,
            Environment={
                "Variables": {"MODEL_NAME": "digits", "MODEL_VERSION": "v1", "MODEL_BUCKET": bucket}
            },
        )
        lambdas.get_waiter("function_updated_v2").wait(FunctionName=function)
        outcome = orjson.loads(
            lambdas.invoke(FunctionName=function, Payload=b'{"golden": true}')["Payload"].read()
        )
        assert outcome["failed"] == [
            {
                "golden": None,
                "reason": "the manifest of digits v1 cannot be read: storage answered AccessDenied",
            }
        ]


def test_an_environment_that_cannot_be_read_is_not_written_back(scale_manifest: Any) -> None:
    class Unreadable:
        def get_alias(self, **_: Any) -> Any:
            return {"FunctionVersion": "1", "RevisionId": "r", "Name": "live"}

        def get_function_configuration(self, **_: Any) -> Any:
            return {"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "kms"}}}

    with pytest.raises(DeliveryRefused, match=r"environment of f cannot be read: .*AccessDenied"):
        deliver(Unreadable(), "f", scale_manifest(b"", "v1"))


def test_an_aws_error_of_another_kind_is_not_taken_for_a_refusal(scale_manifest: Any) -> None:
    class Denied:
        def get_alias(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "GetAlias")

    with pytest.raises(ClientError):
        deliver(Denied(), "f", scale_manifest(b"", "v1"))
