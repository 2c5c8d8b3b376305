"""What else could run the same steps, with a low and a high estimate where it depends on use."""

from decimal import Decimal

from infra.cost.amounts import HOURS, Bill, Workload, lambda_usd, line, usd, waiting

IDLE_SECONDS = 900  # of an AgentCore session by default


def alternatives(load: Workload) -> list[Bill]:
    """Workflow engines, then hosted agent servers."""
    workflows = [_durable(load), _step_functions(load), _temporal(load)]
    return [*workflows, _agentcore(load), _langsmith(load)]


def _durable(load: Workload) -> Bill:
    """One operation a step and one a run at least; 10 to 20 KB written by each step."""
    runs, operation, gb = load.runs, usd("durable_operation"), usd("durable_gb_written")
    return Bill(
        "Lambda durable functions",
        (
            line("durable operations", (load.steps + runs) * operation, _twice(load) * operation),
            line("data written", load.steps / 100_000 * gb, load.steps / 50_000 * gb),
            line("Lambda, machinery", lambda_usd(load, load.steps * load.machinery_ms / 1000)),
            line("Lambda, invocations", runs * usd("lambda_request")),
            waiting(load),
            line("requests: API Gateway", runs * usd("rest_request")),
        ),
    )


def _twice(load: Workload) -> Decimal:
    """Two operations a step, such as a wait or a callback besides, and one a run."""
    return 2 * load.steps + load.runs


def _step_functions(load: Workload) -> Bill:
    """Two transitions a step, three where it branches."""
    transition = usd("state_transition")
    return Bill(
        "Step Functions, Standard",
        (
            line("state transitions", 2 * load.steps * transition, 3 * load.steps * transition),
            line("Lambda, machinery", lambda_usd(load, load.steps * load.machinery_ms / 1000)),
            line("Lambda, invocations", load.steps * usd("lambda_request")),
            waiting(load),
        ),
    )


def _temporal(load: Workload) -> Bill:
    """One action a step at least, two and the run's own at most; your own workers come on top."""
    action = usd("temporal_action")
    return Bill(
        "Temporal Cloud, without your workers",
        (line("actions", load.steps * action, _twice(load) * action),),
    )


def _agentcore(load: Workload) -> Bill:
    """A run is a session, which idles for 15 minutes unless it is ended; keeping state is yours."""
    worked = load.steps * load.machinery_ms / 1000 / 3600
    lasted = worked + load.steps * load.model_seconds / 3600
    gb_hours, idle = load.memory_mb / 1024, load.runs * IDLE_SECONDS / 3600
    memory = gb_hours * usd("agentcore_gb_hour")
    return Bill(
        "Bedrock AgentCore Runtime, without a database",
        (
            line("processor, while it works", worked * usd("agentcore_vcpu_hour")),
            line("memory, as sessions last", lasted * memory, (lasted + idle) * memory),
            line("state in AgentCore Memory", Decimal(0), load.steps * usd("agentcore_event")),
        ),
    )


def _langsmith(load: Workload) -> Bill:
    """Steps and waiting are in the price of a run; the deployment's uptime is not."""
    return Bill(
        "LangSmith Deployment",
        (
            line("agent runs", load.runs * usd("langsmith_run")),
            line("uptime of one deployment", HOURS * 60 * usd("langsmith_minute")),
        ),
    )
