"""`pulumi-resource-kubernetes` for the local environment and plans: `python -m local_aws.kubernetes_plugin`.

There is no cluster. An object is checked against the schema of Kubernetes and written, secrets redacted, to
`<manifests>/<namespace or _cluster>/<kind>-<name>.yaml`; deleting it removes the file. `<manifests>` is
LOCAL_KUBERNETES_RENDER_DIR; in emulate mode it is `<LOCAL_AWS_DIR>/manifests` when that is unset, and in plan
mode nothing is written then. A Helm release is written as what was asked for: no chart is fetched or run.

Names, namespaces and the properties that force a replacement follow Pulumi's own provider (pulumi-kubernetes
`provider/pkg/provider/diff.go`). An object of a custom group gets no default namespace: only a cluster knows
whether such a kind has one.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

from local_aws import manifests
from local_aws.aws_plugin import Settings
from local_aws.provider import Checked, Diff, Plugin, State, name_of, serve, top_level, type_of
from local_aws.values import Props, Secret, changes, plain

AUTONAMED = "pulumi.com/autonamed"
_RELEASE = "kubernetes:helm.sh/v3:Release"
_CLUSTER_SCOPED = frozenset(
    """APIService CSIDriver CSINode CertificateSigningRequest ClusterRole ClusterRoleBinding
    CustomResourceDefinition DeviceClass FlowSchema IngressClass MutatingWebhookConfiguration Namespace Node
    PersistentVolume PriorityClass PriorityLevelConfiguration RuntimeClass StorageClass
    ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
    VolumeAttachment""".split()  # noqa: SIM905
)
_FIXED = ["apiVersion", "kind", "metadata.name", "metadata.namespace", "name", "namespace"]
_FIXED_BY_KIND = {
    "ClusterRoleBinding": ["roleRef"],
    "DaemonSet": ["spec.selector"],
    "Deployment": ["spec.selector"],
    "Job": ["spec.completions", "spec.parallelism", "spec.selector", "spec.template"],
    "PersistentVolumeClaim": [
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ],
    "ResourceQuota": ["spec.scopes"],
    "RoleBinding": ["roleRef"],
    "Secret": ["type"],
    "Service": ["spec.clusterIP"],
    "StatefulSet": [
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ],
    "StorageClass": ["parameters", "provisioner"],
}
# Replaced, so that pods roll over to the new content, unless the provider is told that they are mutable.
_CONTENT = {"ConfigMap": ["data", "binaryData"], "Secret": ["data", "stringData"]}


class KubernetesPlugin(Plugin):
    """Objects of any type, custom resources and Helm releases included."""

    name, version = "kubernetes", version("pulumi-kubernetes")

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    def configure(self, config: Props) -> None:
        config = plain(config)
        self._settings = Settings.of(self._environment)
        in_emulation = self._settings.folder / "manifests" if self._settings.mode == "emulate" else None
        told = self._environment.get("LOCAL_KUBERNETES_RENDER_DIR")
        self._folder = Path(told) if told else in_emulation
        self._namespace = config.get("namespace") or "default"
        self._mutable = {
            kind for kind in _CONTENT if str(config.get(f"enable{kind}Mutable")).lower() == "true"
        }

    def check(self, urn: str, olds: Props, news: Props, seed: bytes) -> Checked:
        """Names the object and gives it a namespace where the program does not, then judges it."""
        news, token = dict(news), type_of(urn)
        if self._settings.mode == "plan":
            seed = b""  # two plans of the same program must read the same
        if token.endswith("Patch"):
            return Checked(
                news, (("kind", "a patch changes an object of a live cluster, and there is none"),)
            )
        if token == _RELEASE:
            news["name"] = news.get("name") or olds.get("name") or _automatic_name(urn, seed)
            news["namespace"] = news.get("namespace") or self._namespace
            return Checked(news, tuple(manifests.name_problems(_document(urn, news))))
        metadata = news.get("metadata") or {}
        if isinstance(metadata, dict):
            news["metadata"] = self._named(urn, olds, metadata, seed)
            if manifests.has_schema(news) and token.split(":")[-1] not in _CLUSTER_SCOPED:
                news["metadata"].setdefault("namespace", self._namespace)
        if news.get("kind") == "Secret":
            news |= {key: Secret(plain(news[key])) for key in manifests.SECRET_DATA if key in news}
        return Checked(news, (*manifests.name_problems(news), *manifests.schema_problems(news)))

    def _named(self, urn: str, olds: Props, metadata: Props, seed: bytes) -> Props:
        """With the name it has had if that was automatic, else a new one; marked, to be known as such."""
        if metadata.get("name"):
            return dict(metadata)
        kept = manifests.metadata_of(olds).get("name") if _is_automatic(olds) else None
        annotations = (metadata.get("annotations") or {}) | {AUTONAMED: "true"}
        name = kept or _automatic_name(urn, seed, metadata.get("generateName"))
        return metadata | {"name": name, "annotations": annotations}

    def diff(self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props) -> Diff:
        old, new = _document(urn, old_inputs), _document(urn, news)
        kind = manifests.kind_of(new)[1]
        fixed = _FIXED + _FIXED_BY_KIND.get(kind, [])
        fixed += [] if kind in self._mutable else _CONTENT.get(kind, [])
        forced = re.compile(rf"({'|'.join(map(re.escape, fixed))})($|[.\[])")
        paths = changes(old_inputs, news)
        replaces = frozenset(top_level(path) for path in paths if forced.match(path))
        # A name that stays can be taken once only, so the old object goes first. An automatic one is drawn
        # anew for the new object, but in a plan, where it is always the same.
        drawn = _is_automatic(new) and self._settings.mode == "emulate"
        stays = manifests.place_of(old) == manifests.place_of(new) and not drawn
        return Diff(paths, replaces, bool(replaces) and stays)

    def create(self, urn: str, inputs: Props, preview: bool) -> State:
        if preview:
            return State("", _outputs(urn, inputs))
        self._write(urn, inputs)
        return State(
            "/".join(filter(None, manifests.place_of(_document(urn, inputs)))), _outputs(urn, inputs)
        )

    def read(self, urn: str, id: str, inputs: Props, outputs: Props) -> State | None:
        """Gone when its manifest is; where none are written, what the state says."""
        path = self._path(_document(urn, inputs)) if inputs else None
        return None if path is not None and not path.exists() else State(id, outputs, inputs)

    def update(
        self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props, preview: bool
    ) -> Props:
        if not preview:
            self._write(urn, news)
        return _outputs(urn, news)

    def delete(self, urn: str, id: str, inputs: Props, outputs: Props) -> None:
        self._require_scratch()
        path = self._path(_document(urn, inputs))
        if path is not None:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or gone
                path.parent.rmdir()

    def Construct(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Charts, kustomizations and groups of YAML files would be expanded here."""
        reason = f"{request.type} is not rendered locally: declare its objects as resources of their own"
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, reason)

    def _require_scratch(self) -> None:
        if self._settings.mode == "plan":
            self._settings.require_scratch()

    def _path(self, document: Props) -> Path | None:
        return self._folder / manifests.file_of(document) if self._folder else None

    def _write(self, urn: str, inputs: Props) -> None:
        """Whole or not at all."""
        self._require_scratch()
        document = _document(urn, inputs)
        path = self._path(document)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_text(manifests.rendered(document, urn), encoding="utf-8")
            part.replace(path)


def _automatic_name(urn: str, seed: bytes, prefix: str | None = None) -> str:
    return f"{prefix or name_of(urn) + '-'}{hashlib.sha256(seed + urn.encode()).hexdigest()[:8]}"


def _is_automatic(document: Props) -> bool:
    return AUTONAMED in (manifests.metadata_of(document).get("annotations") or {})


def _document(urn: str, inputs: Props) -> Props:
    """The object to write: the inputs themselves, or a Helm release in the shape of an object."""
    if type_of(urn) != _RELEASE:
        return inputs
    metadata = {key: inputs[key] for key in ("name", "namespace")}
    spec = {key: value for key, value in inputs.items() if key not in metadata}
    api_version, kind = manifests.HELM_RELEASE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _outputs(urn: str, inputs: Props) -> Props:
    """The inputs: what a cluster would add (uid, status) nobody here can know."""
    if type_of(urn) != _RELEASE:
        return inputs
    named = {key: inputs.get(key) for key in ("name", "namespace", "version")}
    return inputs | {"status": named | {"status": "pending-install"}}


if __name__ == "__main__":
    serve(KubernetesPlugin())
