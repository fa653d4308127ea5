"""What the policies add to a plan of prod: `python -m benchmarks.policies`.

Previews of one empty stack through the plan provider, taken in turns in one run: without a pack and with all
rules on. checkov judges the same plan, its start included, as the pack's is. The engine's time is real and no
cloud answers, so in an account the share is smaller. CPU time, of all processes together (Linux), is what
other work on the machine disturbs least.

Then the judging alone, in this process: all rules behind the pack's own service, and as many policies that do
nothing behind the policy SDK's.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi_policy as sdk
from pulumi.runtime.proto import analyzer_pb2 as pb

from inferctl import checkov
from inferctl.plan import deployment
from inferctl.session import environment, open_session
from inferctl.workspace import ROOT, Workspace
from policies import settings
from policies.rule import StackRule
from policies.rules import RULES
from policies.server import Analyzer

# https://github.com/pulumi/pulumi/blob/v3.259.0/sdk/go/common/resource/sig/sig.go
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"

Spent = tuple[float, float]
"""Seconds by the clock and of CPU."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pack", type=Path, help="one more pack to measure, with prod's configuration")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        export = deployment("prod")  # builds the packages, and is what checkov reads
        workspace = Workspace.here()
        workspace.forget("prod", "plan")
        session = open_session(environment("prod"), "plan", workspace)
        checkov.remarks(export, workspace.local / "audit")  # installs it where it is not there yet

        def preview(*pack: str | Path) -> Callable[[], object]:
            config = workspace.config_file("prod", "plan")
            flags = ("--stack", "prod", "--config-file", str(config), *map(str, pack))
            return lambda: session.engine.command("preview", *flags)

        levels = ("--policy-pack-config", every_rule_on(workspace.local / "levels.json"))
        contenders: dict[str, Callable[[], object]] = {
            "plan without policies": preview(),
            "plan with all rules": preview("--policy-pack", ROOT / "policies", *levels),
        }
        if args.pack:
            contenders[f"plan with {args.pack.name}"] = preview("--policy-pack", args.pack, *levels)
        contenders["checkov on the same plan"] = lambda: judged_by_checkov(workspace.local / "audit")
        taken = measured(contenders, args.rounds)
        alone = judging_alone(export)
    count = len(export["deployment"]["resources"])
    print(f"prod: {count} resources; {args.rounds} rounds in turns; medians")
    table(taken)
    for name, seconds in alone.items():
        print(f"| judging alone: {name} | | | {seconds:.2f} s | |")


def every_rule_on(file: Path) -> Path:
    """Prod's thresholds with every rule on, in a file. Advisory: a refused preview would end early."""
    config = json.loads((ROOT / "policies/config/prod.json").read_text(encoding="utf-8"))
    on = {
        rule: {**(entry if isinstance(entry, dict) else {}), "enforcementLevel": "advisory"}
        for rule, entry in config.items()
    }
    file.write_text(json.dumps(on), encoding="utf-8")
    return file


def judged_by_checkov(folder: Path) -> None:
    environment = {**os.environ, "EVAL_TF_PLAN_AFTER_UNKNOWN": "1"}
    subprocess.run(checkov.command(folder), env=environment, check=True, stdout=subprocess.DEVNULL)


def measured(contenders: Mapping[str, Callable[[], object]], rounds: int) -> Mapping[str, list[Spent]]:
    """What each took in every round, in turns: what else the machine does falls on all alike."""
    taken: dict[str, list[Spent]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            cpu, started = CpuOfChildren(), time.perf_counter()
            cpu.start()
            run()
            taken[name].append((time.perf_counter() - started, cpu.seconds()))
            print(f"{number + 1}/{rounds} {name}: {taken[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
    return taken


def judging_alone(export: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of CPU that all requests of one plan take, without process, engine and network."""
    configs = settings.load(settings.STRICTEST, RULES)
    ours = Analyzer(RULES, configs, [], datetime.datetime.now(datetime.UTC).date())
    empty: list[sdk.Policy] = [
        sdk.StackValidationPolicy(name=rule.id, description=rule.title, validate=lambda args, report: None)
        if isinstance(rule, StackRule)
        else sdk.ResourceValidationPolicy(
            name=rule.id, description=rule.title, validate=lambda args, report: None
        )
        for rule in RULES
    ]
    mandatory = sdk.EnforcementLevel.MANDATORY
    theirs: Any = sdk.policy._PolicyAnalyzerServicer("empty", "0.0.1", empty, mandatory, *[None] * 7)
    theirs.Configure(pb.ConfigureAnalyzerRequest(), None)
    each, whole = requests(export)
    taken = {}
    services: dict[str, Any] = {"all rules": ours, "as many empty policies of the SDK": theirs}
    for name, service in services.items():
        started = time.process_time()
        for request in each:
            service.Remediate(request, None)
            service.Analyze(request, None)
        service.AnalyzeStack(whole, None)
        taken[name] = time.process_time() - started
    return taken


def requests(export: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """What the engine asks about a deployment: each resource, and all of them."""
    each, whole = [], pb.AnalyzeStackRequest()
    for resource in export["deployment"]["resources"]:
        head = {name: resource.get(name, "") for name in ("type", "urn")}
        head["name"] = resource["urn"].rpartition("::")[2]
        each.append(pb.AnalyzeRequest(**head))
        each[-1].properties.update(as_sent(resource.get("inputs", {})))
        seen = whole.resources.add(**head, parent=resource.get("parent", ""))
        seen.properties.update(as_sent(resource.get("outputs", {})))
        for name, urns in (resource.get("propertyDependencies") or {}).items():
            seen.propertyDependencies[name].urns.extend(urns)
    return each, whole


def as_sent(value: Any) -> Any:
    """An export's values as the engine sends them to analyzers: secrets open, references as ids."""
    if isinstance(value, dict):
        if "ciphertext" in value:
            return "secret"
        if value.get(_SIGNATURE) == _REFERENCE:
            return value.get("id") or value["urn"]
        return {key: as_sent(inner) for key, inner in value.items()}
    return [as_sent(inner) for inner in value] if isinstance(value, list) else value


class CpuOfChildren(threading.Thread):
    """Adds up the CPU time of all processes below this one, killed ones too, as /proc has it.

    The kernel's own sum leaves out what nobody waits for, as the engine does not wait for its plug-ins.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended, self._seen = threading.Event(), dict[tuple[int, str], float]()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self._look()

    def seconds(self) -> float:
        self._ended.set()
        self.join()
        return sum(self._seen.values())

    def _look(self) -> None:
        below = {os.getpid()} | {pid for pid, _ in self._seen}
        stats = {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                # After the name, which may hold spaces: state, parent, ...; see proc(5).
                stats[int(file.parent.name)] = file.read_text(encoding="utf-8").rpartition(")")[2].split()
        for _ in range(8):  # generations
            below |= {pid for pid, fields in stats.items() if int(fields[1]) in below}
        for pid in below & stats.keys() - {os.getpid()}:
            fields = stats[pid]
            ticks = int(fields[11]) + int(fields[12])
            self._seen[pid, fields[19]] = ticks / os.sysconf("SC_CLK_TCK")


def table(taken: Mapping[str, list[Spent]]) -> None:
    plain = taken["plan without policies"]
    print("| what | time | more than the plan alone | CPU time | more |")
    print("| --- | --- | --- | --- | --- |")
    for name, rounds in taken.items():
        cells = []
        for kind in (0, 1):
            seconds = statistics.median(each[kind] for each in rounds)
            # Ratios within a round: what slows the machine in one falls on both.
            more = statistics.median(
                (each[kind] - base[kind]) / base[kind] for each, base in zip(rounds, plain, strict=True)
            )
            cells += [f"{seconds:.1f} s", f"{more:+.0%}" if name.startswith("plan with ") else ""]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
