"""The operator's commands on the running platform: each sees what is there, and a planted fault."""

import json
from typing import Any

from inferctl.errors import Exit
from inferctl.session import Session

FUNCTION = "inference-platform-local-model-digits"


def faults(said: str) -> list[tuple[str, str]]:
    return [
        (each["check"], each["what"]) for each in json.loads(said)["results"] if each["verdict"] == "fault"
    ]


def test_plan_compares_with_the_running_stack(first_up: object, inferctl: Any) -> None:
    plan = json.loads(inferctl("plan", "--json").stdout)
    assert plan["against"] == "the running stack local"
    assert plan["changes"] == plan["losses"] == []
    assert any(line.startswith("Clients -> Web ACL -> API -> CPU: digits") for line in plan["path"])
    assert {"Lambda concurrent executions"} <= {quota["name"] for quota in plan["quotas"]}


def test_doctor_finds_nothing_wrong_with_what_up_made(first_up: object, inferctl: Any) -> None:
    done = inferctl("doctor", "--json")
    verdicts = {each["check"]: each["verdict"] for each in json.loads(done.stdout)["results"]}
    assert verdicts["credentials"] == verdicts["endpoints"] == verdicts["sign-in domain"] == "ok"
    assert verdicts["quotas"] == "unknown"  # only an account has quotas


def test_verify_finds_what_was_changed_beside_the_program(session: Session, inferctl: Any) -> None:
    before = faults(inferctl("verify", "--json", check=False).stdout)
    assert not [what for check, what in before if check in ("API", "stage", "functions")]
    functions = session.aws("lambda")
    asked = functions.get_function_configuration(FunctionName=FUNCTION)["MemorySize"]
    functions.update_function_configuration(FunctionName=FUNCTION, MemorySize=asked // 2)
    try:
        done = inferctl("verify", "--json", check=False)
        assert done.returncode == Exit.FOUND
        found = [fault for fault in faults(done.stdout) if fault not in before]
        assert (
            "functions",
            f"function {FUNCTION}: MemorySize is {asked // 2}, asked for was {asked}",
        ) in found
        assert any(check == "drift" and "changed outside the program" in what for check, what in found)
    finally:
        functions.update_function_configuration(FunctionName=FUNCTION, MemorySize=asked)


def test_logs_show_a_request(first_up: object, inferctl: Any) -> None:
    events = json.loads(inferctl("logs", "digits", "--json").stdout)["events"]
    assert any('"model":"digits"' in event["message"] for event in events)
    done = inferctl("logs", "nonsense", check=False)
    assert done.returncode == Exit.FAILED
    assert "choose one of: digits" in done.stderr


def test_status_counts_what_is_there(first_up: object, inferctl: Any) -> None:
    status = json.loads(inferctl("status", "--json").stdout)
    assert status["url"].startswith("http://127.0.0.1:")
    assert sum(each["count"] for each in status["resources"]) > 100
