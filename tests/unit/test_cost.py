"""`baton cost`: the arithmetic by hand, and what was found out before there was a program."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cost.amounts import Bill, Workload, price_list
from infra.cost.bill import ALARMS, STREAM_ALARMS, bills
from infra.local.cli import main
from tests.unit.test_template import MONITORING

MILLION = Decimal(1_000_000)
CENT = Decimal("0.01")


def bill(name: str, load: Workload) -> Bill:
    (found,) = [one for one in bills(load) if one.name == name]
    return found


def dollars(of: Bill, *starts: str) -> Decimal:
    """The sum of the lines that start so, to the cent."""
    return sum((one.usd for one in of.lines if one.what.startswith(starts)), Decimal(0)).quantize(
        CENT
    )


def machinery(load: Workload) -> Decimal:
    """Of a million steps: what Lambda, SQS and API Gateway take, with nobody waiting."""
    return dollars(bill("baton, existing", load), "steps: ", "requests: ")


def test_a_million_steps_by_hand() -> None:
    rds = bill("baton, rds", Workload(MILLION, model_seconds=Decimal(5)))
    by_hand = {
        "steps: Lambda, machinery": "0.40",  # 1e6 x 0.06 s x 0.5 GB x 0.0000133334
        "steps: Lambda, invocations": "0.20",  # 1e6 x 0.0000002
        "steps: Lambda, waiting for models": "33.33",  # 1e6 x 5 s x 0.5 GB x 0.0000133334
        "steps: SQS": "1.20",  # 3e6 x 0.0000004
        "requests: API Gateway": "0.70",  # 200,000 runs x 0.0000035
        "logs": "0.30",  # 0.6 GB x 0.50
        "RDS db.t4g.micro": "11.68",  # 730 h x 0.016
        "RDS storage": "2.30",  # 20 GB x 0.115
        "RDS Proxy": "21.90",  # 730 h x 2 vCPUs x 0.015
        "egress: ipv6": "0.00",
        "alarms": "1.80",
        "secret": "0.40",
        "sweeps": "0.04",  # 43,800 x (0.0000002 + 0.1 s x 0.5 GB x 0.0000133334)
    }
    assert {one.what: str(one.usd.quantize(CENT)) for one in rds.lines} == by_hand
    assert rds.total.quantize(CENT) == Decimal("74.25")


def test_a_million_steps_on_open_lines_by_hand() -> None:
    """200,000 runs of five steps that wait 5 s each; their clients read for 30 s."""
    load = Workload(MILLION, model_seconds=Decimal(5), line_seconds=Decimal(30))
    rds = bill("baton, rds", load)
    assert dollars(rds, "lines: Lambda, open") == Decimal("40.00")  # 2e5 x 30 s x 0.5 GB x 1.33e-5
    assert dollars(rds, "lines: Lambda, invocations") == Decimal("0.04")  # 2e5 x 0.0000002
    assert dollars(rds, "steps: Lambda, waiting") == 0  # it is the line that waits
    assert dollars(rds, "alarms") == Decimal("2.00")  # 18 and the stream function's 2


def test_a_line_is_open_as_long_as_its_steps_wait() -> None:
    load = Workload(MILLION, model_seconds=Decimal(5), line_seconds=Decimal(1))
    assert dollars(bill("baton, rds", load), "lines: Lambda, open") == Decimal("33.33")


@pytest.mark.parametrize(("together", "expected"), [("1", "2.50"), ("5", "1.38"), ("100", "1.38")])
def test_the_machinery_costs_what_was_found(together: str, expected: str) -> None:
    """1.4 with a run's five steps in one invocation, which is as many as it has, to 2.5."""
    load = Workload(MILLION, steps_per_invocation=Decimal(together))
    assert machinery(load) == Decimal(expected)


def test_steps_that_wait_together_are_billed_once() -> None:
    together = Workload(MILLION, model_seconds=Decimal(5), batch=Decimal(10))
    assert dollars(bill("baton, rds", together), "steps: Lambda, waiting") == Decimal("3.33")
    assert dollars(bill("baton, rds", together), "steps: SQS") == Decimal("1.20")


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("baton, rds", 36, 48), ("baton, aurora-zero", 1, 3), ("baton, existing", 1, 2)],
)
def test_what_it_costs_when_nobody_uses_it(name: str, least: int, most: int) -> None:
    assert least <= bill(name, Workload(Decimal(0))).total <= most


def test_aurora_costs_its_io_and_the_hours_it_is_awake() -> None:
    load = Workload(MILLION, active_hours=Decimal(100))
    aurora = bill("baton, aurora-zero", load)
    assert dollars(aurora, "Aurora I/O") == Decimal("2.00")
    assert dollars(aurora, "Aurora, awake") == Decimal("6.73")  # (100 + 121.7 x 0.1) h x 0.5 x 0.12
    assert Decimal("2.6") <= machinery(load) + dollars(aurora, "Aurora I/O") <= Decimal("4.9")
    always = bill("baton, aurora-zero", Workload(MILLION, active_hours=Decimal(10_000)))
    assert dollars(always, "Aurora, awake") == Decimal("43.80")  # a month has 730 hours


@pytest.mark.parametrize(
    ("egress", "usd"), [("ipv6", "0.00"), ("nat", "32.85"), ("endpoints", "43.80")]
)
def test_the_way_out_of_the_network(egress: str, usd: str) -> None:
    assert dollars(bill("baton, rds", Workload(MILLION, egress=egress)), "egress") == Decimal(usd)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("Lambda durable functions", 13, 24),
        ("Step Functions, Standard", 50, 76),
        ("Temporal Cloud, without your workers", 50, 110),
    ],
)
def test_the_alternatives_cost_what_was_found(name: str, low: int, high: int) -> None:
    other = bill(name, Workload(MILLION))
    assert low <= other.total < low + 1
    assert high - 1 < other.high <= high


def test_the_alternatives_by_hand() -> None:
    durable = bill("Lambda durable functions", Workload(MILLION))
    assert {one.what: str(one.usd.quantize(CENT)) for one in durable.lines} == {
        "durable operations": "9.60",  # (1e6 steps + 2e5 runs) x 0.000008
        "data written": "2.50",  # 1e6 x 10 KB = 10 GB x 0.25
        "Lambda, machinery": "0.40",  # 1e6 x 0.06 s x 0.5 GB x 0.0000133334
        "Lambda, invocations": "0.04",  # 2e5 x 0.0000002
        "steps: Lambda, waiting for models": "0.00",
        "requests: API Gateway": "0.70",  # 2e5 x 0.0000035
    }
    assert durable.total.quantize(CENT) == Decimal("13.24")
    steps = bill("Step Functions, Standard", Workload(MILLION))
    assert dollars(steps, "state transitions") == Decimal("50.00")  # 2e6 x 0.000025
    assert steps.total.quantize(CENT) == Decimal("50.60")  # + 0.40 machinery + 0.20 invocations


def test_a_hosted_runtime_is_paid_for_its_sessions_by_hand() -> None:
    hosted = bill("Bedrock AgentCore Runtime, without a database", Workload(MILLION, Decimal(5)))
    low = {one.what: str(one.usd.quantize(CENT)) for one in hosted.lines}
    assert low == {
        "processor, while it works": "1.49",  # 1e6 x 0.06 s = 16.7 h x 0.0895
        "memory, as sessions last": "6.64",  # 1e6 x 5.06 s = 1405.6 h x 0.5 GB x 0.00945
        "state in AgentCore Memory": "0.00",
    }
    # idle: 2e5 runs x 900 s = 50,000 h x 0.5 GB x 0.00945 = 236.25; an event a step: 250
    assert (hosted.high - hosted.total).quantize(CENT) == Decimal("486.25")


def test_a_hosted_server_is_paid_by_the_run_and_for_being_there() -> None:
    hosted = bill("LangSmith Deployment", Workload(MILLION, model_seconds=Decimal(5)))
    assert dollars(hosted, "agent runs") == Decimal("1000.00")
    assert dollars(hosted, "uptime") == Decimal("157.68")


def test_waiting_for_models_is_billed_wherever_lambda_waits() -> None:
    load = Workload(MILLION, model_seconds=Decimal(5))
    for name in ("baton, rds", "Lambda durable functions", "Step Functions, Standard"):
        assert sum(one.usd for one in bill(name, load).lines if "waiting" in one.what) > 33


def test_as_many_alarms_are_paid_as_the_template_makes() -> None:
    alarms = Counter(
        resource.get("Condition")
        for resource in MONITORING["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    )
    assert alarms.pop("WithStreaming") == STREAM_ALARMS  # which is off unless asked for
    assert ALARMS["rds"] == alarms.total()
    only_rds = alarms["WithProxy"] + alarms["WithDatabase"]
    assert ALARMS["aurora-zero"] == ALARMS["existing"] == alarms.total() - only_rds


def test_every_price_says_what_it_is_for_and_where_it_was_read() -> None:
    listed = price_list()
    assert date.fromisoformat(listed["as_of"]) >= date(2026, 11, 1)
    for price in listed["prices"].values():
        assert Decimal(price["usd"]) > 0
        assert price["per"]
        assert price["source"].startswith("https://")


def test_every_price_in_the_list_is_used() -> None:
    folder = Path(__file__).parents[2] / "infra" / "cost"
    code = "".join(file.read_text() for file in folder.glob("*.py"))
    assert [name for name in price_list()["prices"] if f'"{name}"' not in code] == []


def test_the_command_prints_every_bill_and_its_date() -> None:
    said = CliRunner().invoke(main, ["cost", "--steps", "1e6", "--model-seconds", "5"])
    assert said.exit_code == 0
    assert "baton, aurora-zero" in said.output
    assert "33.33" in said.output
    assert price_list()["as_of"] in said.output
    for price in price_list()["prices"].values():
        assert price["source"] in said.output.replace("\n", "")


def test_json_is_exact_and_names_its_sources() -> None:
    said = CliRunner().invoke(main, ["cost", "--steps", "1e6", "--json"])
    found = json.loads(said.output)
    rds = found["bills"][0]
    assert sum(Decimal(one["usd"]) for one in rds["lines"]) == Decimal(rds["total"])
    assert found["price_list"] == price_list()


@pytest.mark.parametrize(
    "wrong", [["--steps", "many"], ["--steps", "-1"], ["--steps", "1", "--batch", "0"], []]
)
def test_a_wrong_number_is_said_and_nothing_is_printed(wrong: list[str]) -> None:
    said = CliRunner().invoke(main, ["cost", *wrong])
    assert said.exit_code == 2
    assert "Error" in said.output
