"""The function that parks models, against an API server with TLS that records what it is asked."""

import base64
import ipaddress
import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving import parking


@dataclass
class Cluster:
    """What stands for the API server: merge patches of annotations of the scaled objects that it has."""

    url: str = ""
    authority: str = ""
    """Certificate, base64 of PEM."""
    objects: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path -> annotations."""
    tokens: list[str] = field(default_factory=list)

    def patch(self, path: str, body: Any) -> int:
        if path not in self.objects:
            return 404
        for name, value in body["metadata"]["annotations"].items():
            if value is None:
                self.objects[path].pop(name, None)
            else:
                self.objects[path][name] = value
        return 200


MINILM = "/apis/keda.sh/v1alpha1/namespaces/inference/scaledobjects/model-minilm"


def certificate(folder: Path) -> tuple[Path, str]:
    """A file with key and certificate of 127.0.0.1, and the certificate as kubeconfigs hold it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cluster")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "both.pem"
    file.write_bytes(private + public)
    return file, base64.b64encode(public).decode()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    file, authority = certificate(tmp_path)
    found = Cluster(authority=authority, objects={MINILM: {"other": "stays"}})

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            assert self.headers["content-type"] == "application/merge-patch+json"
            found.tokens.append(self.headers["authorization"].removeprefix("Bearer "))
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(found.patch(self.path, body))
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "CLUSTER_NAME": "inference-platform-stage",
        "CLUSTER_URL": found.url,
        "CLUSTER_CA": authority,
        "NAMESPACE": "inference",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_held_at_no_replica_and_let_go_again(cluster: Cluster) -> None:
    for _ in range(2):  # the schedule and an alarm may both park it
        assert parking.handler({"verb": "park", "model": "minilm"}, None)["verb"] == "park"
        assert cluster.objects[MINILM] == {"other": "stays", "autoscaling.keda.sh/paused-replicas": "0"}
    for _ in range(2):
        parking.handler({"verb": "wake", "model": "minilm"}, None)
        assert cluster.objects[MINILM] == {"other": "stays"}


def test_the_cluster_gets_the_functions_role_as_a_signed_request(cluster: Cluster) -> None:
    parking.handler({"verb": "park", "model": "minilm"}, None)
    prefix, _, encoded = cluster.tokens[0].partition(".")
    assert prefix == "k8s-aws-v1"
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = urllib.parse.parse_qs(url.query)
    assert (url.scheme, url.netloc) == ("https", "sts.eu-west-1.amazonaws.com")
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"], "the token is of one cluster alone"
    assert int(query["X-Amz-Expires"][0]) <= 60
    assert "secret" not in url.query


def test_a_refusal_is_a_failure_that_says_why(cluster: Cluster) -> None:
    with pytest.raises(parking.NotParked, match=r"^llama: the cluster answers 404 Not Found$"):
        parking.handler({"verb": "park", "model": "llama"}, None)


def test_another_cluster_is_not_believed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_CA", certificate(tmp_path)[1])
    with pytest.raises(parking.NotParked, match="certificate verify failed"):
        parking.handler({"verb": "park", "model": "minilm"}, None)
    assert cluster.tokens == []


@pytest.mark.parametrize("event", [{}, {"verb": "stop", "model": "minilm"}, {"verb": "park"}])
def test_an_event_of_another_form_is_refused(event: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give park or wake, and a name"):
        parking.handler(event, None)
