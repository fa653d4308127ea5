"""What stands for the API server of a cluster: TLS, and merge patches of the annotations of what it has."""

import base64
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SCALER = "/apis/keda.sh/v1alpha1/namespaces/inference/scaledobjects/model-"
"""Path of a model's ScaledObject, without the model's name."""


@dataclass
class Cluster:
    """A cluster as its clients know it, and what they did to it."""

    url: str
    authority: str
    """Certificate, base64 of PEM."""
    objects: dict[str, dict[str, str]]
    """Path -> annotations."""
    tokens: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a function that reaches it."""
        return {
            "CLUSTER_NAME": "inference-platform-stage",
            "CLUSTER_URL": self.url,
            "CLUSTER_CA": self.authority,
            "NAMESPACE": "inference",
        }

    def patch(self, path: str, body: Any) -> int:
        if path not in self.objects:
            return 404
        for name, value in body["metadata"]["annotations"].items():
            if value is None:
                self.objects[path].pop(name, None)
            else:
                self.objects[path][name] = value
        return 200


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


@contextmanager
def cluster_with(objects: dict[str, dict[str, str]], folder: Path) -> Iterator[Cluster]:
    """A cluster that has these objects; its key lies in `folder`."""
    file, authority = certificate(folder)

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
    found = Cluster(f"https://127.0.0.1:{server.server_address[1]}", authority, objects)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
