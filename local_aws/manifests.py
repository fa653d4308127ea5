"""Kubernetes objects as documents: what they are called, whether they fit the API, how they are written.

Functions over plain values (`local_aws.values`), no cluster. Schemas are those of Kubernetes itself, in their
strict form (an unknown property is an error); of custom resources, see `local_aws.custom_resources`.
"""

import functools
import hashlib
import re
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from local_aws import custom_resources
from local_aws.values import UNKNOWN, Asset, Props, Secret, plain

KUBERNETES_VERSION = "1.35.0"
SECRET_DATA = ("data", "stringData")
"""Properties of a Secret whose values are secret, however the program passed them."""
HELM_RELEASE = ("helm.sh/v3", "Release")
"""(apiVersion, kind) that a release of a chart is written with: no cluster knows such an object."""
_SCHEMAS = f"kubernetes-json-schema/v{KUBERNETES_VERSION}-local-strict"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RBAC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}")


def kind_of(document: Props) -> tuple[str, str]:
    """(apiVersion, kind)."""
    return str(plain(document.get("apiVersion"))), str(plain(document.get("kind")))


def metadata_of(document: Props) -> Props:
    """The metadata in plain values; empty where it is not known yet."""
    metadata = plain(document.get("metadata"))
    return metadata if isinstance(metadata, dict) else {}


def place_of(document: Props) -> tuple[str, str]:
    """(namespace, name): "" where there is no namespace, UNKNOWN where the name is not known yet."""
    metadata = metadata_of(document)
    return metadata.get("namespace") or "", metadata.get("name") or UNKNOWN


def file_of(document: Props) -> str:
    """Where the manifest lies, relative to the folder of all."""
    namespace, name = place_of(document)
    return f"{namespace or '_cluster'}/{kind_of(document)[1].lower()}-{name}.yaml"


def name_problems(document: Props) -> list[tuple[str, str]]:
    """(property path, reason) of names that the API server would refuse. They are file names here, too."""
    (namespace, name), (api_version, kind) = place_of(document), kind_of(document)
    form = _RBAC_NAME if api_version.startswith("rbac.") else _DNS_SUBDOMAIN
    problems = []
    if not kind.isalnum():
        problems.append(("kind", f"{kind!r} is no kind of object"))
    if name != UNKNOWN and not form.fullmatch(name):
        problems.append(("metadata.name", f"{name!r} is no name: use lower case, digits, '-' and '.' only"))
    if namespace not in ("", UNKNOWN) and not _DNS_LABEL.fullmatch(namespace):
        problems.append(("metadata.namespace", f"{namespace!r} is no namespace: use lower case, digits, '-'"))
    return problems


def schema_problems(document: Props) -> list[tuple[str, str]]:
    """(property path, reason) of what does not fit; what a preview does not know yet is left to the `up`."""
    known = _judge(*kind_of(document))
    if known is None:
        return []
    name, validator = known
    return [
        (error.json_path.removeprefix("$."), f"does not fit {name}: {error.message}")
        for error in validator.iter_errors(whole(plain(document)))
        if error.instance != UNKNOWN
    ]


def whole(value: Any) -> Any:
    """A plain value with the whole numbers as such: the engine's protocol has floating-point ones only."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
    return value


def _judge(api_version: str, kind: str) -> tuple[str, Any] | None:
    """(what it is, a validator) for a kind; None where there is no schema of it."""
    if (validator := _validator(api_version, kind)) is not None:
        return f"Kubernetes {KUBERNETES_VERSION}", validator
    return _custom(api_version, kind)


@functools.cache
def _custom(api_version: str, kind: str) -> tuple[str, Any] | None:
    known = custom_resources.schema_of(api_version, kind)
    return (known[0], jsonschema.Draft202012Validator(known[1])) if known is not None else None


def has_schema(document: Props) -> bool:
    """Whether it is of one of Kubernetes' own kinds."""
    return _validator(*kind_of(document)) is not None


@functools.cache
def _validator(api_version: str, kind: str) -> Any:
    group, _, version = api_version.rpartition("/")
    # The files are named after a group's first label alone, which a custom group may share with a built-in.
    if ("." in group and not group.endswith(".k8s.io")) or not (kind.isalnum() and version.isalnum()):
        return None
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], version)))
    try:
        schema = schema_contents(f"{_SCHEMAS}/{name}.json", KUBERNETES_VERSION)
    except FileNotFoundError:
        return None
    registry: Registry[Any] = _definitions() @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def _definitions() -> Resource[Any]:
    return Resource.from_contents(schema_contents(f"{_SCHEMAS}/_definitions.json", KUBERNETES_VERSION))


def rendered(document: Props, origin: str) -> str:
    """YAML with two lines of comment: who made it and whether a schema judged it. Secrets are digests."""
    if kind_of(document)[1] == "Secret":
        document = document | {key: _sealed(document[key]) for key in SECRET_DATA if key in document}
    known = _judge(*kind_of(document))
    judged = f"fits {known[0]}" if known is not None else "no schema to judge it by"
    return f"# {origin}\n# {judged}\n{yaml.safe_dump(_redacted(document))}"


def _sealed(data: Any) -> Any:
    bare = plain(data)
    return {key: Secret(value) for key, value in bare.items()} if isinstance(bare, dict) else Secret(bare)


def _redacted(value: Any) -> Any:
    match value:
        case Secret():
            digest = hashlib.sha256(repr(plain(value)).encode()).hexdigest()[:8]
            return f"(secret, digest {digest})"
        case Asset():
            return f"(file, sha256 {value.hash})"
        case dict():
            return {key: _redacted(item) for key, item in value.items()}
        case list():
            return [_redacted(item) for item in value]
    return value
