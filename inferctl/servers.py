"""Models on EKS and SageMaker, the cluster's router and workers, and SageMaker's runtime, as local processes.

Each is started by the very command of its container: that of the rendered manifest of a Deployment, or for an
endpoint the image's entry point with the argument that SageMaker gives it. What differs is stated in
`_surroundings`: addresses and folders of this machine, and the embedded AWS in place of AWS.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from inferctl.session import Session
from inferctl.workspace import ROOT
from local_aws import container_log, ports, sagemaker_runtime
from local_aws.workloads import Report, Workload, Workloads
from serving.manifest import FILE_NAME as MANIFEST

_NAMESPACE = "inference"
# How the names of Deployments begin.
_MODEL, _JOBS, _ROUTER = "model-", "jobs-", "router"


@dataclass(frozen=True, kw_only=True)
class Started:
    """What came of starting them."""

    states: Mapping[str, str]
    """Name -> `started` or `runs`."""
    left_out: Mapping[str, str]
    """Model -> why there is no process for it."""

    def lines(self) -> list[str]:
        """For people, the shortest form."""
        counted = [f"{name} {state}" for name, state in self.states.items()]
        return counted + [f"{model} not started: {reason}" for model, reason in self.left_out.items()]


def processes(local: Path) -> Workloads:
    """Those of one checkout."""
    return Workloads(local / "servers", ROOT)


def start(session: Session, report: Report) -> Started:
    """Start what the deployed environment has on EKS and SageMaker; adopt what runs, end what is gone.

    Raises:
        EmulatorError: a process does not start.
    """
    planned = _Planned(session)
    workloads = planned.workloads()
    states = processes(session.workspace.local).apply(workloads, report)
    return Started(states=states, left_out=planned.left_out)


class _Planned:
    """The processes of a deployed environment."""

    def __init__(self, session: Session) -> None:
        self._session, self._local = session, session.workspace.local
        self._aws = session.workspace.local / "aws"
        self._client = session.client()
        self.left_out: dict[str, str] = {}
        self._hosts: dict[str, int] = {}  # service name inside the cluster -> port of its process
        self._invoked: dict[str, Mapping[str, Any]] = {}  # endpoint -> what SageMaker's runtime knows of it

    def workloads(self) -> list[Workload]:
        # Models before those that ask them: in the order of names, `jobs-` comes first.
        manifests = sorted(self._manifests(), key=lambda each: not _name(each).startswith(_MODEL))
        on_cluster = list(filter(None, map(self._deployment, manifests)))
        return [*map(self._with_addresses, on_cluster), *self._endpoints(), *self._sagemaker_runtime()]

    def _manifests(self) -> Iterator[Mapping[str, Any]]:
        folder = self._local / "manifests" / _NAMESPACE
        for path in sorted(folder.glob("deployment-*.yaml")):
            yield yaml.safe_load(path.read_text(encoding="utf-8"))

    def _deployment(self, manifest: Mapping[str, Any]) -> Workload | None:
        """The process of a Deployment's first container, one replica whatever its number is now."""
        name = _name(manifest)
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        given = {each["name"]: str(each["value"]) for each in container["env"]}
        if name.removeprefix(_JOBS) in self.left_out:
            return None  # its model's messages wait
        revision = ""
        if name.startswith(_MODEL):
            model = name.removeprefix(_MODEL)
            if container["command"][0] == "vllm":
                self.left_out[model] = "vLLM needs a GPU; the API says that it is cold"
                return None
            published = self._published(model, given["MODEL_VERSION"])
            if published is None:
                self.left_out[model] = "it waits for its first publication"
                return None
            revision = published
        backend = ports.LOAD_BALANCER if name == _ROUTER else f"pod/{name}"
        port = ports.port_of(self._aws, backend)
        if name.startswith(_MODEL):
            self._hosts[f"{name}.{_NAMESPACE}.svc.cluster.local"] = port
        return Workload(
            name=name,
            command=container["command"],
            environment=self._surroundings(name, given, port),
            port=port,
            ready_path=container["readiness_probe" if "readiness_probe" in container else "readinessProbe"][
                "httpGet"
            ]["path"],
            revision=revision,
        )

    def _with_addresses(self, workload: Workload) -> Workload:
        """Router and workers find local processes where in the cluster they would find pods."""
        told = dict(workload.environment)
        if "ROUTER_MODELS" in told:
            routes = json.loads(told["ROUTER_MODELS"])
            for route in routes.values():
                route["url"] = self._address(route["url"])
            told["ROUTER_MODELS"] = json.dumps(routes, sort_keys=True)
            told.pop("ROUTER_BALANCER_URL", None)  # a container of its own, in front of vLLM
        if "MODEL_URL" in told:
            told["MODEL_URL"] = self._address(told["MODEL_URL"])
        return replace(workload, environment=told)

    def _address(self, url: str) -> str:
        host = urlsplit(url).hostname
        return f"http://127.0.0.1:{self._hosts[host]}" if host in self._hosts else url

    def _endpoints(self) -> Iterator[Workload]:
        """One process an endpoint: the container that its model names, with the model's files."""
        resources = self._session.engine.export()["deployment"].get("resources", [])
        found = {each["id"]: each for each in resources if each["type"].startswith("aws:sagemaker/")}
        for model, request in self._client.outputs["model_endpoints"].items():
            configuration = found[request["EndpointConfigName"]]["outputs"]
            [variant] = configuration["productionVariants"]
            container = found[variant["modelName"]]["outputs"]["primaryContainer"]
            version = _version(container)
            if (revision := self._published(model, version)) is None:
                self.left_out[model] = "it waits for its first publication"
                continue
            name = request["EndpointName"]
            port = ports.port_of(self._aws, ports.endpoint(name))
            self._invoked[name] = {"port": port, **_asynchronous(configuration)}
            given = {**container["environment"], "MODEL_DIR": str(self._fetched(model, version, revision))}
            # Its output goes where SageMaker puts it; `serve` is the argument that SageMaker gives.
            shipped = ["python", "-m", container_log.__name__, f"/aws/sagemaker/Endpoints/{name}"]
            yield Workload(
                name=f"endpoint-{model}",
                command=[*shipped, *_entry_point(), "serve"],
                environment=self._surroundings(f"endpoint-{model}", given, port),
                port=port,
                ready_path="/ping",
                revision=revision,
            )

    def _sagemaker_runtime(self) -> Iterator[Workload]:
        """What functions ask endpoints through, where there are some."""
        if not self._invoked:
            return
        port = ports.port_of(self._aws, ports.SAGEMAKER_RUNTIME)
        told = {"SAGEMAKER_ENDPOINTS": json.dumps(self._invoked, sort_keys=True)}
        yield Workload(
            name=ports.SAGEMAKER_RUNTIME,
            command=["python", "-m", sagemaker_runtime.__name__],
            environment=self._surroundings(ports.SAGEMAKER_RUNTIME, told, port),
            port=port,
            ready_path=sagemaker_runtime.READY_PATH,
        )

    def _surroundings(self, name: str, given: Mapping[str, str], port: int) -> dict[str, str]:
        """A container's environment on this machine."""
        folder = self._local / "servers" / name
        folder.mkdir(parents=True, exist_ok=True)
        inside = {key: value.replace("/cache", str(folder), 1) for key, value in given.items()}
        return {
            "PATH": os.pathsep.join([str(ROOT / ".venv/bin"), os.defpath]),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "AWS_REGION": self._session.env.region,
            "AWS_DEFAULT_REGION": self._session.env.region,
            **inside,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "AWS_ENDPOINT_URL": self._client.endpoints.ministack if self._client.endpoints else "",
            **(self._client.credentials or {}),
        }

    def _published(self, model: str, version: str) -> str | None:
        """Digest of the manifest of a version in the models bucket; None where there is none."""
        s3 = self._client.aws("s3")
        key = f"models/{model}/{version}/{MANIFEST}"
        try:
            head = s3.head_object(Bucket=self._client.outputs["models_bucket"], Key=key)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        return str(head["ETag"])

    def _fetched(self, model: str, version: str, revision: str) -> Path:
        """The version's files, as SageMaker lays them before the container."""
        folder = self._local / "servers" / f"endpoint-{model}" / f"{version}-{revision.strip(chr(34))[:12]}"
        if (folder / MANIFEST).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        s3, bucket = self._client.aws("s3"), self._client.outputs["models_bucket"]
        prefix = f"models/{model}/{version}/"
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        # The manifest last: a folder that has it is whole.
        for key in sorted((each["Key"] for each in listed), key=lambda key: key.endswith(MANIFEST)):
            s3.download_file(bucket, key, str(folder / Path(key).name))
        return folder


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


def _asynchronous(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Where the answers of an asynchronous endpoint go and who is told; nothing of another one."""
    if not (config := configuration.get("asyncInferenceConfig")):
        return {}
    output = config["outputConfig"]
    topics = output["notificationConfig"]
    return {
        "output": output["s3OutputPath"],
        "failure": output["s3FailurePath"],
        "success_topic": topics["successTopic"],
        "error_topic": topics["errorTopic"],
    }


def _version(container: Mapping[str, Any]) -> str:
    """The version whose files a SageMaker container gets."""
    source = container.get("modelDataSource")
    uri = source["s3DataSources"][0]["s3Uri"] if source else container["modelDataUrl"]
    found = re.fullmatch(r"s3://[^/]+/models/[^/]+/([^/]+)/(model\.tar\.gz)?", uri)
    if found is None:
        raise ValueError(f"{uri} is no version's folder in the model store")
    return found[1]


def _entry_point() -> list[str]:
    """Of the model server's image, as its Dockerfile states it."""
    text = (ROOT / "serving/Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    if found is None:
        raise ValueError("serving/Dockerfile states no ENTRYPOINT as a JSON list")
    return [str(part) for part in json.loads(found[1])]
