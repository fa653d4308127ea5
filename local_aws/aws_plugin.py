"""`pulumi-resource-aws` for the local environment and for offline plans: `python -m local_aws.aws_plugin`.

The environment variables that the engine passes on say what it does (see `Settings`). It never speaks to AWS.
"""

import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from local_aws import autonaming, checking
from local_aws.carried import unheld, updatable
from local_aws.emulate import Emulation
from local_aws.journal import Journal
from local_aws.operations import Operations
from local_aws.plan import Planner
from local_aws.provider import Checked, Diff, Plugin, Refused, State, name_of, serve, top_level, type_of
from local_aws.sdk_types import ResourceType, UnknownType, resource_type
from local_aws.tables import TABLES
from local_aws.tables.form import Type
from local_aws.values import UNKNOWN, Props, changes, plain

_ZONES = "abc"
"""Letters of the availability zones that a region is taken to have."""
_EMULATE = (
    "LOCAL_AWS_DIR",
    "LOCAL_AWS_ENDPOINT",
    "LOCAL_AWS_MOTO_ENDPOINT",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
SCRATCH_MARKER = ".scratch-backend"
"""File that marks a folder as a backend made for one plan: nothing real is kept there."""


@dataclass(frozen=True)
class Settings:
    """What the driver tells through the environment.

    Attributes:
        mode: LOCAL_AWS_MODE, `emulate` (resources live in the embedded AWS) or `plan` (nothing is made).
        folder: LOCAL_AWS_DIR, the checkout's `.local`.
        endpoints: LOCAL_AWS_ENDPOINT (ministack) and LOCAL_AWS_MOTO_ENDPOINT.
        key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the embedded AWS.
        backend: PULUMI_BACKEND_URL, where the engine keeps its state.
    """

    mode: str
    folder: Path
    endpoints: Mapping[str, str]
    key: tuple[str, str]
    backend: str

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Settings":
        mode = environment.get("LOCAL_AWS_MODE", "")
        if mode not in ("emulate", "plan"):
            raise Refused(
                "this is the aws plug-in of the local environment and of offline plans, not Pulumi's own; it "
                "needs LOCAL_AWS_MODE=emulate or plan. To deploy to an AWS account, unset PULUMI_HOME: the "
                "engine then uses the official plug-in"
            )
        given = {name: environment.get(name, "") for name in _EMULATE}
        absent = [name for name, value in given.items() if mode == "emulate" and not value]
        if absent:
            raise Refused(f"LOCAL_AWS_MODE=emulate also needs {', '.join(absent)}")
        folder, ministack, moto, key_id, secret = given.values()
        return Settings(
            mode,
            Path(folder),
            {"ministack": ministack, "moto": moto},
            (key_id, secret),
            environment.get("PULUMI_BACKEND_URL", ""),
        )

    def require_scratch(self) -> None:
        """Plan mode may only ever "create" into a state that is thrown away.

        Raises:
            Refused: the backend is anything but a folder that its owner marked as scratch.
        """
        url = urllib.parse.urlsplit(self.backend)
        folder = Path(urllib.parse.unquote(url.path))
        if url.scheme != "file" or url.netloc or not (folder / SCRATCH_MARKER).is_file():
            raise Refused(
                f"plan mode makes nothing, so it must not write to the state of a real stack: the backend "
                f"{self.backend or '(not set)'} is not a file:// folder with a {SCRATCH_MARKER} file in it"
            )


class AwsPlugin(Plugin):
    """Both modes. A type without a table is planned in emulate mode too: it exists in the state alone."""

    name, version = "aws", version("pulumi-aws")

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._tags: dict[str, str] = {}

    def configure(self, config: Props) -> None:
        config = plain(config)
        self._settings = Settings.of(self._environment)
        region = config.get("region") or self._environment.get("AWS_REGION") or "us-east-1"
        allowed = checking.decoded(config.get("allowedAccountIds")) or []
        account = str(allowed[0]) if allowed else "123456789012"
        self._tags = (checking.decoded(config.get("defaultTags")) or {}).get("tags") or {}
        if self._settings.mode == "emulate":
            operations = Operations(self._settings.endpoints, self._settings.key, region)
            account = operations.run("sts", "get_caller_identity")["Account"]
            if allowed and account not in allowed:
                raise Refused(f"allowedAccountIds: the embedded AWS is account {account}, not {allowed}")
            journal = Journal(self._settings.folder / "aws" / "creating")
            self._journal, self._emulation = journal, Emulation(operations, journal, account)
        self._planner = Planner(account, region)

    def _held(self, urn: str) -> tuple[ResourceType, Type | None]:
        """The type, and its table where the embedded AWS holds it."""
        try:
            kind = resource_type(type_of(urn))
        except UnknownType as error:
            raise Refused(str(error)) from error
        return kind, TABLES.get(kind.token) if self._settings.mode == "emulate" else None

    def check(self, urn: str, olds: Props, news: Props, seed: bytes) -> Checked:
        """Names what the program leaves unnamed and merges the provider's default tags in, then validates."""
        kind, _ = self._held(urn)
        news, rule = dict(news), autonaming.naming(kind)
        if kind.taggable and self._tags:
            news["tags"] = self._tags | (news.get("tags") or {})
        if rule is not None and news.get(rule.property) is None:
            try:
                news[rule.property] = self._name(rule, urn, olds, news, seed)
            except autonaming.NameTooLong as error:
                return Checked(news, ((rule.property, str(error)),))
        return Checked(news, tuple(checking.problems(kind, news)))

    def _name(self, rule: autonaming.Naming, urn: str, olds: Props, news: Props, seed: bytes) -> str:
        """The name it has had, or that a killed `up` has given it already; else a new one."""
        logical = news.get(f"{rule.property}Prefix") or name_of(urn)
        before = str(plain(olds.get(rule.property)) or "")
        if not olds and self._settings.mode == "emulate":
            pending = self._journal.pending(urn)
            before = pending.name if pending else ""
        if before and autonaming.is_automatic(rule, logical, before):
            return before
        if self._settings.mode == "plan":
            seed = urn.encode()  # two plans of the same program must read the same
        suffix = ".fifo" if plain(news.get("fifoQueue") or news.get("fifoTopic")) else ""
        return autonaming.automatic_name(rule, logical, seed, suffix)

    def diff(self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props) -> Diff:
        kind, table = self._held(urn)
        if table is not None:
            self._journal.confirm(urn, id)
        paths = changes(old_inputs, news)
        changed = {top_level(path) for path in paths}
        table = TABLES.get(kind.token)
        rule = autonaming.naming(kind)
        fixed = frozenset({rule.property} if rule else ()) | {"region"}
        replaces = changed - updatable(kind, table) if changed and table else changed & fixed
        # A name that stays can be taken once only, so the old resource goes first.
        stays = rule is not None and rule.property not in changed and not self._is_automatic(rule, urn, news)
        return Diff(paths, frozenset(replaces), bool(replaces) and stays)

    def _is_automatic(self, rule: autonaming.Naming, urn: str, inputs: Props) -> bool:
        return autonaming.is_automatic(rule, name_of(urn), str(plain(inputs.get(rule.property))))

    def create(self, urn: str, inputs: Props, preview: bool) -> State:
        """At preview, emulate mode leaves open what only AWS can tell. What plan mode would answer is known
        already, so it says it: policies can then judge documents built from ids and ARNs."""
        kind, table = self._held(urn)
        if preview and table is not None:
            return State("", self._open(kind, table) | inputs)
        if table is None:
            if not preview and self._settings.mode == "plan":
                self._settings.require_scratch()
            return self._planner.state(urn, kind, inputs)
        for name in unheld(kind, table, plain(inputs)):
            self.log(
                urn, f"{name}: the embedded AWS does not hold this property; it is kept in the state alone"
            )
        rule = autonaming.naming(kind)
        name = str(plain(inputs.get(rule.property))) if rule else ""
        try:
            return self._emulation.create(urn, kind, table, inputs, name)
        except Refused as error:
            if not table.orphan or table.orphan not in str(error):
                raise
            self.log(urn, "what it belongs to is in the state alone, and so is it")
            return self._planner.state(urn, kind, inputs)

    def _is_orphan(self, urn: str, id: str, kind: ResourceType, table: Type, inputs: Props) -> bool:
        """Whether a type's resource is in the state alone: its id is the one that the planner gives it."""
        return bool(table.orphan) and id == self._planner.state(urn, kind, inputs).id

    def _open(self, kind: ResourceType, table: Type) -> Props:
        return {name: UNKNOWN for name, shape in kind.outputs.items() if not shape.optional}

    def read(self, urn: str, id: str, inputs: Props, outputs: Props) -> State | None:
        kind, table = self._held(urn)
        if table is None or self._is_orphan(urn, id, kind, table, inputs):
            return State(id, outputs, inputs)
        self._journal.confirm(urn, id)
        return self._emulation.read(kind, table, id, inputs, outputs)

    def update(
        self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props, preview: bool
    ) -> Props:
        kind, table = self._held(urn)
        if table is None or self._is_orphan(urn, id, kind, table, old_inputs):
            if not preview and self._settings.mode == "plan":
                self._settings.require_scratch()
            return self._planner.state(urn, kind, news).outputs
        if preview:
            return old_outputs | dict.fromkeys(table.fresh, UNKNOWN) | news
        return self._emulation.update(urn, kind, table, id, old_inputs, old_outputs, news)

    def delete(self, urn: str, id: str, inputs: Props, outputs: Props) -> None:
        kind, table = self._held(urn)
        if table is not None:
            self._emulation.delete(urn, kind, table, id, outputs)
            self._journal.confirm(urn, id)
        elif self._settings.mode == "plan":
            self._settings.require_scratch()

    def invoke(self, token: str, args: Props) -> Props:
        """The few functions whose answer needs no account."""
        region, account = self._planner.region, self._planner.account
        match token:
            case "aws:index/getCallerIdentity:getCallerIdentity":
                root = f"arn:aws:iam::{account}:root"
                return {"id": account, "accountId": account, "arn": root, "userId": account}
            case "aws:index/getRegion:getRegion":
                endpoint = f"ec2.{region}.amazonaws.com"
                return {
                    "id": region,
                    "region": region,
                    "name": region,
                    "description": region,
                    "endpoint": endpoint,
                }
            case "aws:index/getPartition:getPartition":
                names = {"dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
                return {"id": "aws", "partition": "aws", **names}
            case "aws:index/getAvailabilityZones:getAvailabilityZones":
                zones = [f"{region}{letter}" for letter in _ZONES]
                ids = [f"{_zone_prefix(region)}-az{number}" for number in range(1, len(zones) + 1)]
                groups = [f"{region}-zg-1"]
                return {"id": region, "names": zones, "zoneIds": ids, "groupNames": groups, "region": region}
        return super().invoke(token, args)


def _zone_prefix(region: str) -> str:
    """`use1` of `us-east-1`, as zone ids have it."""
    area, place, number = region.split("-")[0], region.split("-")[1:-1], region.split("-")[-1]
    return area + "".join(word[0] for word in place) + number


if __name__ == "__main__":
    serve(AwsPlugin())
