"""What the policies add to a plan of prod: `python -m benchmarks.policies`.

Previews of one empty stack through the plan provider, taken in turns in one run: without a pack, with all
rules on, and with a pack of the policy SDK that has as many policies, which do nothing. checkov judges the
same plan, its start included, as the pack's is. The engine's time is real and no cloud answers, so in an
account every share is smaller. CPU time, of all processes together (Linux), is what other work on the machine
disturbs least.
"""

import argparse
import contextlib
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

from inferctl import checkov
from inferctl.plan import deployment
from inferctl.session import environment, open_session
from inferctl.workspace import ROOT, Workspace

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
            "plan with as many empty policies of the SDK": preview(
                "--policy-pack", ROOT / "benchmarks" / "sdk_pack"
            ),
        }
        if args.pack:
            contenders[f"plan with {args.pack.name}"] = preview("--policy-pack", args.pack, *levels)
        contenders["checkov on the same plan"] = lambda: judged_by_checkov(workspace.local / "audit")
        taken = measured(contenders, args.rounds)
    count = len(export["deployment"]["resources"])
    print(f"prod: {count} resources; {args.rounds} rounds in turns; medians")
    table(taken)


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
