"""What a replica on the cluster serves: the live version and, while a delivery tries one, its candidate.

A replica reads what it is to serve every few seconds and says what it made of it (see `rollout`). It goes
over to another version between two requests: the old one answers until the new one is loaded. A candidate is
loaded by a process of its own first, so that one that breaks its process breaks nobody else's.
"""

import json
import logging
import random
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from serving.capture import Capture
from serving.errors import ModelUnavailable, ServingError
from serving.metrics import BUCKETS
from serving.oip import InferRequest, InferResponse
from serving.rollout import LOOK_S, Report, Rollouts, Wanted
from serving.runtime import Model
from serving.served import ServedModel

_SAY_AGAIN_S = 10
_LOAD_AGAIN_S = 30
_TRIAL_S = 600

logger = logging.getLogger(__name__)


class Counted:
    """A model whose requests are counted: how many, how many with a 5xx, how long they took."""

    def __init__(self, model: Model) -> None:
        self.model, self.manifest = model, model.manifest
        self.requests = self.faults = 0
        self.latencies = [0] * (len(BUCKETS) + 1)
        self._lock = threading.Lock()

    def infer(self, request: InferRequest) -> InferResponse:
        """As the model's."""
        started, fault = time.perf_counter(), True
        try:
            answer = self.model.infer(request)
            fault = False
            return answer
        except ServingError as error:
            fault = error.status >= 500
            raise
        finally:
            place = bisect_left(BUCKETS, time.perf_counter() - started)
            with self._lock:
                self.requests += 1
                self.faults += fault
                self.latencies[place] += 1


class RolledModel(ServedModel):
    """What one replica serves. `follow` runs in a thread of its own, besides the threads that answer.

    Args:
        first: version to serve before the first delivery.
        load: a version, loaded and tried; raises ServingError.
        try_out: what a process of its own found of a version, as `Report`'s digest, golden and slowest_ms; or
            `refused` with the reason.
        replica: name of this one, among those of the model.
    """

    def __init__(
        self,
        name: str,
        first: str,
        rollouts: Rollouts,
        load: Callable[[str], Model],
        try_out: Callable[[str], dict[str, Any]],
        replica: str,
        capture: Capture | None = None,
    ) -> None:
        super().__init__(name, first, lambda: load(self.version), capture)
        self._first, self._rollouts, self._load_version, self._try_out = first, rollouts, load, try_out
        self._candidate: Counted | None = None
        self._share = 0.0
        self._failed: tuple[str, float] = ("", 0.0)  # version that could not be served, when
        self._known = Wanted()
        self._report = self._said = Report(replica=replica, delivery="", version="")
        self._stepping = threading.Lock()

    def load(self) -> None:
        """Do what is wanted now; keep the reason where nothing can be served."""
        with self._stepping:
            try:
                self._step()
            except Exception as error:
                # Which version is live is not to be guessed; who is loaded serves on.
                logger.warning("%s cannot ask what it is to serve: %s", self.name, type(error).__name__)
                self._failure = ModelUnavailable(f"{self.name} does not know yet which version is live")

    def follow(self, stopped: threading.Event) -> None:
        """Do what is wanted, again and again, until `stopped`."""
        while not stopped.wait(LOOK_S):
            self.load()

    def get(self, name: str, version: str | None) -> Any:
        """The candidate for its share of the requests that name no version, else what is live."""
        candidate, share = self._candidate, self._share
        if candidate and share and name == self.name:
            drawn = random.random() < share  # noqa: S311 - a share of the requests, no secret
            if version == candidate.manifest.version or (version is None and drawn):
                return candidate
        return super().get(name, version)

    def observed(self, model: Model, request: InferRequest, response: InferResponse) -> None:
        """Count a request to the live version; drift is judged of that one."""
        if model.manifest.version == self.version:
            super().observed(model, request, response)

    def _step(self) -> None:
        wanted = self._rollouts.wanted(self.name) or Wanted()
        if wanted.delivery != self._known.delivery or wanted.candidate != self._known.candidate:
            self._report = replace(self._report, delivery=wanted.delivery, candidate="", state="", reason="")
        self._known = wanted
        self._serve(wanted.version or self._first)
        self._consider(wanted)
        self._share = wanted.share if self._candidate else 0.0
        self._tell()

    def _serve(self, version: str) -> None:
        """Go over to a version, unless it is served; what is served stays where that cannot be loaded."""
        failed, at = self._failed
        if self._serves(version) or (failed == version and time.monotonic() - at < _LOAD_AGAIN_S):
            return
        if self.loaded:
            self._change(version)
        else:
            self.version = version
            super().load()
        if not self._serves(version):
            self._failed = version, time.monotonic()
        self._report = replace(self._report, version=self.version if self.loaded else "")

    def _serves(self, version: str) -> bool:
        return self.loaded and version == self.version

    def _change(self, version: str) -> None:
        candidate = self._candidate
        try:
            if candidate and candidate.manifest.version == version:
                model = candidate.model
            else:
                model = self._timed(version)
        except ServingError as error:
            self._report = replace(self._report, state="refused", reason=str(error))
            logger.error("%s stays at %s: %s", self.name, self.version, error)
        else:
            self._model, self.version = model, version
            self._report = replace(self._report, state="", reason="")
            logger.info("%s serves %s", self.name, version)

    def _timed(self, version: str) -> Model:
        model = self._load_version(version)
        self.time(model)
        return model

    def _consider(self, wanted: Wanted) -> None:
        """Load the candidate and try it, once; forget the one before."""
        version = wanted.candidate
        if not version:
            self._candidate = None
        if not version or version == self._report.candidate:
            return
        self._candidate = None
        self._report = replace(self._report, candidate=version, state="loading", reason="")
        if self._broken_by(wanted):
            reason = "the server that had loaded it ended"
            self._report = replace(self._report, state="refused", reason=reason)
            return
        self._tell()
        found = self._try_out(version)
        reason = found.pop("refused", "")
        try:
            self._candidate = None if reason else Counted(self._timed(version))
        except ServingError as error:
            reason = str(error)
        state: Any = "refused" if reason else "ready"
        self._report = replace(self._report, state=state, reason=reason, **found)

    def _broken_by(self, wanted: Wanted) -> bool:
        """Whether the process before this one ended with the candidate.

        A container that starts anew keeps its name; with that candidate it would end again and again.
        """
        before = None if self._said.at else self._rollouts.last_report(self.name, self._report.replica)
        return before is not None and (
            (before.delivery, before.candidate) == (wanted.delivery, wanted.candidate)
            and before.state in ("loading", "ready")
        )

    def _tell(self) -> None:
        """Write the report where it changed, and now and then while there is a candidate: it is alive."""
        report = self._report
        if (counted := self._candidate) is not None:
            report = replace(
                report,
                share=self._share,
                requests=counted.requests,
                faults=counted.faults,
                latencies=tuple(counted.latencies),
            )
        again = bool(report.candidate) and time.time() - self._said.at >= _SAY_AGAIN_S
        if again or replace(report, at=self._said.at) != self._said:
            self._said = replace(report, at=time.time())
            self._rollouts.report(self.name, self._said)


def tried_in_a_process(version: str) -> dict[str, Any]:
    """What `serving.candidate_app` finds of a version here; `refused` where it ends otherwise."""
    command = [sys.executable, "-m", "serving.candidate_app", version]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TRIAL_S, check=False)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"refused": f"it is not loaded within {_TRIAL_S} s"}
    except ValueError:
        return {"refused": f"the process that loads it ends with {done.returncode}"}
    return found
