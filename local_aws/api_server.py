"""A real Kubernetes API server on this machine: started empty, asked about manifests, and ended.

There is no controller and no scheduler: objects are stored, and nothing comes of them. It finds what the
schemas of `local_aws.manifests` cannot say: fields that do not go together, numbers out of range, quantities
and addresses that are none, what definitions forbid in CEL, objects that are not there, and pods below the
standard that their namespace enforces.
"""

import re
import secrets
import shutil
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local_aws import manifests
from local_aws.emulator_process import wait
from local_aws.workloads import Report, Workload, Workloads

Manifest = Mapping[str, Any]
_ESTABLISHED_SECONDS = 60
_FIRST = ("CustomResourceDefinition", "Namespace", "ServiceAccount")
"""Kinds that others need, in this order."""
_UNCHECKED = "<nil>"
"""Said beside other causes: that rules in CEL were left out because of them."""
_FIELD = re.compile(r'unknown field "([^"]+)"|Go struct field \w+\.([\w.]+)')


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What the API server said against a manifest."""

    manifest: str
    """Where it lies, relative to the folder of all: `local_aws.manifests.file_of`."""
    field: str
    """Path of the field; empty where the server names none."""
    reason: str


@contextmanager
def api_server(binaries: Path, folder: Path, report: Report) -> Iterator["ApiServer"]:
    """An empty API server on 127.0.0.1, with its etcd; both are ended whatever happens.

    Args:
        binaries: folder with `kube-apiserver` and `etcd`.
        folder: for their state, records and logs; what lies there is removed.

    Raises:
        EmulatorError: one of them does not start; the message has the end of its log.
    """
    processes = Workloads(folder, folder.parent)
    processes.stop(report)  # of a run that was killed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    token = secrets.token_urlsafe(32)
    etcd, peers, port = _free_ports(3)
    try:
        processes.apply(
            [_etcd(binaries, folder, etcd, peers), _kube_apiserver(binaries, folder, etcd, port, token)],
            report,
        )
        trusted = ssl.create_default_context(cafile=str(folder / "certificates/apiserver.crt"))
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            verify=trusted,
            timeout=60,
        ) as client:
            yield ApiServer(client, report)
    finally:
        processes.stop(report)


class ApiServer:
    """A running one."""

    def __init__(self, client: httpx.Client, report: Report) -> None:
        self._client, self._report = client, report

    def version(self) -> str:
        """Of Kubernetes, e.g. v1.35.4."""
        return str(self._client.get("/version").raise_for_status().json()["gitVersion"])

    def apply(self, documents: Iterable[Manifest]) -> list[Refusal]:
        """Create all of them, with no field tolerated that is not known; what others need comes first."""
        order = {kind: place for place, kind in enumerate(_FIRST)}
        ordered = sorted(documents, key=lambda document: order.get(document["kind"], len(order)))
        return [refusal for document in ordered for refusal in self._create(document)]

    def _create(self, document: Manifest) -> list[Refusal]:
        place = manifests.file_of(dict(document))
        collection = self._collection(document)
        if collection is None:
            reason = f"the API server serves no {document['kind']} of {document['apiVersion']}"
            return [Refusal(manifest=place, field="kind", reason=reason)]
        answer = self._post(collection, document)
        found = self._refusals(answer, place)
        if answer.is_success and document["kind"] == "CustomResourceDefinition":
            self._await_definition(document)
        if answer.is_success and document["kind"] == "Deployment":
            found += self._try_pod(document)
        return found

    def _try_pod(self, deployment: Manifest) -> list[Refusal]:
        """Ask for a pod of a Deployment, not to be made: a namespace's standard holds for pods alone."""
        template, meta = deployment["spec"]["template"], deployment["metadata"]
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        pod["metadata"] = {**template["metadata"], "name": meta["name"]}
        answer = self._post(f"/api/v1/namespaces/{meta['namespace']}/pods", pod, dryRun="All")
        return self._refusals(answer, manifests.file_of(dict(deployment)), within="spec.template.")

    def _post(self, collection: str, document: Manifest, **options: str) -> httpx.Response:
        return self._client.post(collection, params={"fieldValidation": "Strict", **options}, json=document)

    def _collection(self, document: Manifest) -> str | None:
        """Path of the objects of a document's kind in its namespace; None where there is no such kind."""
        version = document["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        served = self._client.get(root)
        for resource in served.json()["resources"] if served.is_success else ():
            if resource["kind"] == document["kind"] and "/" not in resource["name"]:
                inside = (
                    f"/namespaces/{document['metadata'].get('namespace')}" if resource["namespaced"] else ""
                )
                return f"{root}{inside}/{resource['name']}"
        return None

    def _await_definition(self, definition: Manifest) -> None:
        """Until the kind is served."""
        spec = definition["spec"]
        version = next(version["name"] for version in spec["versions"] if version["served"])
        one = {
            "apiVersion": f"{spec['group']}/{version}",
            "kind": spec["names"]["kind"],
            "metadata": {"namespace": "default"},
        }
        wait(
            f"{one['kind']} to be served",
            _ESTABLISHED_SECONDS,
            lambda: self._collection(one) is not None,
            self._report,
        )

    @staticmethod
    def _refusals(answer: httpx.Response, place: str, within: str = "") -> list[Refusal]:
        """What an answer says against the object, in its status or as a warning."""
        if answer.is_success:
            # https://www.rfc-editor.org/rfc/rfc7234#section-5.5: code, agent and quoted text
            texts = re.findall(r'299 - "((?:[^"\\]|\\.)*)"', answer.headers.get("warning", ""))
            bare = [text.replace('\\"', '"') for text in texts]
            return [Refusal(manifest=place, field="", reason=f"warning: {text}") for text in bare]
        status = answer.json()
        refusals = []
        for cause in (status.get("details") or {}).get("causes") or [{}]:
            reason = cause.get("message") or status["message"]
            field = cause.get("field") or next(filter(None, sum(_FIELD.findall(reason), ())), "")
            if field != _UNCHECKED:
                refusals.append(Refusal(manifest=place, field=field and within + field, reason=reason))
        return refusals


def _etcd(binaries: Path, folder: Path, port: int, peers: int) -> Workload:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    options = {
        "data-dir": folder / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "unsafe-no-fsync": "true",  # nothing in it outlives the run
    }
    return _workload("etcd", binaries / "etcd", options, port, "/health")


def _kube_apiserver(binaries: Path, folder: Path, etcd: int, port: int, token: str) -> Workload:
    (folder / "tokens.csv").write_text(f"{token},operator,operator,system:masters\n")
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "service-accounts.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    options = {
        "etcd-servers": f"http://127.0.0.1:{etcd}",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certificates",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "RBAC",
        "service-account-issuer": f"https://127.0.0.1:{port}",
        "service-account-key-file": folder / "service-accounts.pem",
        "service-account-signing-key-file": folder / "service-accounts.pem",
        "service-cluster-ip-range": "172.20.0.0/16",  # what EKS takes
        "endpoint-reconciler-type": "none",  # nobody looks the server up in itself
    }
    # Ended in the order of names: the server before the store, for which it would wait.
    return _workload("api-server", binaries / "kube-apiserver", options, port, "/readyz", tls=True)


def _workload(
    name: str, program: Path, options: Mapping[str, object], port: int, ready: str, *, tls: bool = False
) -> Workload:
    command = [str(program), *(f"--{option}={value}" for option, value in options.items())]
    return Workload(name=name, command=command, environment={}, port=port, ready_path=ready, tls=tls)


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has now; held together, so that none is given twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports
