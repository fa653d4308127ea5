"""Steps that bring a model version to life on Lambda. Each may be killed at any point and be run again.

    prepare    a Lambda version that serves the model version, beside the one that clients are served from
    attempt    that it answers the golden requests, fast enough
    shift      a share of the requests to it
    promote    all requests to it
    roll_back  everything as it was, whatever was done of the above

Clients are passed in. What a step needs to know it reads from AWS, so a step that was killed half way finds
what it left. Until `shift` no client of the API can see a change.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from serving.errors import DeliveryRefused

# What a published version fixes for good.
_SETTINGS = (
    "Architectures",
    "CodeSha256",
    "Environment",
    "EphemeralStorage",
    "Handler",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
)
VERSION_VARIABLE = "MODEL_VERSION"
NAME_VARIABLE = "MODEL_NAME"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model version that is to go live, as its trial found it."""

    id: str
    """Of the delivery."""
    model: str
    version: str
    digest: str
    golden: int
    """How many golden requests it has."""
    p99_ms: float
    """Longest that one of them may take."""


class LambdaTarget:
    """The function and alias that serve one model."""

    def __init__(self, client: Any, function: str, alias: str) -> None:
        self._client, self._function, self._alias = client, function, alias

    def serves(self) -> str:
        """The model version that clients are served from."""
        return self._environment(self._pointer()["FunctionVersion"]).get(VERSION_VARIABLE, "none")

    def current(self) -> bool:
        """Whether clients are served with the code and settings of the last deployment."""
        return self._is_current(self._pointer()["FunctionVersion"])

    def prepare(self, candidate: Candidate) -> Mapping[str, Any]:
        """Publish a Lambda version that serves the candidate, unless the live one does already."""
        live = self._pointer()["FunctionVersion"]
        serving = self._environment(live)
        if serving.get(NAME_VARIABLE) != candidate.model:
            raise DeliveryRefused(
                f"{self._function} serves {serving.get(NAME_VARIABLE)}, not {candidate.model}"
            )
        previous = serving.get(VERSION_VARIABLE, "none")
        mine = self._clear(live, keep=_tag(candidate))
        if mine is not None:  # an earlier try of this step was killed
            self._configure(candidate.version)
            if self._is_current(mine):
                return {"previous": previous, "lambda_version": mine, "unchanged": False}
        self._configure(previous)
        if previous == candidate.version and self._is_current(live) and not self._faults(live, candidate):
            return {"previous": previous, "lambda_version": live, "unchanged": True}
        return {"previous": previous, "lambda_version": self._publish(candidate), "unchanged": False}

    def attempt(self, candidate: Candidate, version: str) -> None:
        """Ask a Lambda version the golden requests. Raises DeliveryRefused with what it answers wrongly."""
        if faults := self._faults(version, candidate):
            raise DeliveryRefused(f"{candidate.model} {candidate.version} on {self._function}: {faults}")

    def shift(self, version: str, share: float) -> None:
        """Send a share (0 to 1) of the requests to a Lambda version."""
        pointer = self._pointer()
        self._move(pointer, pointer["FunctionVersion"], {version: share})

    def promote(self, version: str) -> None:
        """Send all requests to a Lambda version; of the others keep the one that served before."""
        pointer = self._pointer()
        before = pointer["FunctionVersion"]
        self._move(pointer, version, {})
        if before != version:
            for old in self._versions():
                if old["Version"] not in (before, version):
                    self._discard(old["Version"])

    def roll_back(self) -> str:
        """Undo what a delivery left unfinished, and say which model version clients are served from."""
        live = self._pointer()["FunctionVersion"]
        self._clear(live)
        served = self._environment(live).get(VERSION_VARIABLE, "none")
        self._configure(served)
        # A step that was stopped may run on: what it published before its revision was gone is here now.
        self._clear(live)
        return served

    def _clear(self, live: str, keep: str = "") -> str | None:
        """Take requests and existence from Lambda versions newer than the live one; the one to keep, if any.

        `keep`: description of a version that stays.
        """
        pointer = self._pointer()
        if pointer.get("RoutingConfig", {}).get("AdditionalVersionWeights"):
            self._point(pointer, live, {})
        kept = None
        for version in self._versions():
            if int(version["Version"]) > int(live):
                if keep and version.get("Description") == keep:
                    kept = str(version["Version"])
                else:
                    self._discard(version["Version"])
        return kept

    def _pointer(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._client.get_alias(FunctionName=self._function, Name=self._alias)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise DeliveryRefused(
                    f"{self._function} has no alias {self._alias}: provision the stack first"
                ) from error
            raise
        return found

    def _move(self, pointer: Mapping[str, Any], version: str, weights: Mapping[str, float]) -> None:
        """`_point`, refused where somebody else moved the alias since `pointer` was read."""
        with _unless_overtaken(f"the alias {self._alias} of {self._function}"):
            self._point(pointer, version, weights)

    def _point(self, pointer: Mapping[str, Any], version: str, weights: Mapping[str, float]) -> None:
        self._client.update_alias(
            FunctionName=self._function,
            Name=self._alias,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": dict(weights)},
            RevisionId=pointer["RevisionId"],
        )

    def _publish(self, candidate: Candidate) -> str:
        what = f"{candidate.model} {candidate.version} on {self._function}"
        try:
            with _unless_overtaken(self._function):
                revision = self._configure(candidate.version)
                version = self._client.publish_version(
                    FunctionName=self._function, Description=_tag(candidate), RevisionId=revision
                )["Version"]
            waiter = self._client.get_waiter("published_version_active")
            waiter.wait(FunctionName=self._function, Qualifier=version)
        except WaiterError as error:
            raise DeliveryRefused(f"{what}: the function did not become active: {error}") from error
        return str(version)

    def _configure(self, version: str) -> str:
        """Set the model's version in the unpublished function, wait until it holds, return the revision.

        Revisions make every step fail that meets a change by somebody else.
        """
        waiter = self._client.get_waiter("function_updated_v2")
        waiter.wait(FunctionName=self._function)  # an update that is under way refuses any other
        configuration = self._client.get_function_configuration(FunctionName=self._function)
        variables = self._variables(configuration) | {VERSION_VARIABLE: version}
        if variables != self._variables(configuration):
            self._client.update_function_configuration(
                FunctionName=self._function,
                Environment={"Variables": variables},
                RevisionId=configuration["RevisionId"],
            )
            waiter.wait(FunctionName=self._function)
            configuration = self._client.get_function_configuration(FunctionName=self._function)
        if self._variables(configuration) != variables:
            raise DeliveryRefused(f"somebody else changed {self._function} at the same time; deliver again")
        return str(configuration["RevisionId"])

    def _is_current(self, version: str) -> bool:
        """Whether a Lambda version has the code and settings of the unpublished function.

        A deployment changes those without touching what clients are served from; a delivery brings them
        there.
        """
        published, latest = (
            self._client.get_function_configuration(FunctionName=self._function, Qualifier=qualifier)
            for qualifier in (version, "$LATEST")
        )
        return all(published.get(setting) == latest.get(setting) for setting in _SETTINGS)

    def _versions(self) -> list[dict[str, Any]]:
        """The published Lambda versions, oldest first."""
        pages = self._client.get_paginator("list_versions_by_function").paginate(FunctionName=self._function)
        found = [v for page in pages for v in page["Versions"] if v["Version"] != "$LATEST"]
        return sorted(found, key=lambda version: int(version["Version"]))

    def _discard(self, version: str) -> None:
        """Delete a Lambda version, unless an alias holds it."""
        try:
            # With the version in the name: whoever may delete versions must not delete the function.
            self._client.delete_function(FunctionName=f"{self._function}:{version}")
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "ResourceConflictException",
                "ResourceNotFoundException",
            ):
                raise

    def _faults(self, qualifier: str, candidate: Candidate) -> str:
        """Why a Lambda version does not serve the candidate rightly; empty when it does."""
        answer = self._client.invoke(
            FunctionName=self._function, Qualifier=qualifier, Payload=b'{"golden": true}'
        )
        outcome = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            return f"the function failed: {outcome.get('errorMessage', answer['FunctionError'])}"
        if outcome["failed"]:
            reasons = [
                f"golden request {failed['golden']}: {failed['reason']}"
                if failed["golden"]
                else failed["reason"]
                for failed in outcome["failed"]
            ]
            return "; ".join(reasons)
        served = (outcome["model"], outcome["version"], outcome["digest"])
        if served != (candidate.model, candidate.version, candidate.digest):
            return f"it serves {served}, expected {(candidate.model, candidate.version, candidate.digest)}"
        if outcome["passed"] != candidate.golden:
            return "not every golden request was run"
        if outcome["slowest_ms"] > candidate.p99_ms:
            return (
                f"a golden request takes {outcome['slowest_ms']:.0f} ms at its best, and the objective is "
                f"{candidate.p99_ms:.0f} ms"
            )
        return ""

    def _environment(self, qualifier: str) -> dict[str, str]:
        return self._variables(
            self._client.get_function_configuration(FunctionName=self._function, Qualifier=qualifier)
        )

    def _variables(self, configuration: Mapping[str, Any]) -> dict[str, str]:
        environment = configuration.get("Environment", {})
        if "Error" in environment:
            # Writing back what could not be read would erase it.
            raise DeliveryRefused(
                f"the environment of {self._function} cannot be read: {environment['Error']}"
            )
        return dict(environment.get("Variables", {}))


@contextmanager
def _unless_overtaken(what: str) -> Iterator[None]:
    """Turns Lambda's word that a revision is gone into a refusal."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailedException":
            raise
        raise DeliveryRefused(f"somebody else changed {what} meanwhile; deliver again") from error


def _tag(candidate: Candidate) -> str:
    """Description of a Lambda version (256 characters at most): which delivery published it."""
    return f"{candidate.model} {candidate.version} by delivery {candidate.id}"[:256]
