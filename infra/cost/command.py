"""`baton cost`: the bill, for people or as JSON."""

import json
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from infra.cost.amounts import Bill, Workload, price_list
from infra.cost.bill import bills


class Amount(click.ParamType[Decimal]):
    """A number such as 250, 0.5 or 1e6, no smaller than the least."""

    name = "number"

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def convert(self, value: Any, param: Any, ctx: Any) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not amount.is_finite() or amount < self.least:
            self.fail(f"{value} is less than {self.least}", param, ctx)
        return amount


@click.command()
@click.option("--steps", type=Amount(), required=True, help="In a month, such as 1e6.")
@click.option("--model-seconds", type=Amount(), default=0, help="A step waits for its model.")
@click.option("--steps-per-run", type=Amount(1), default=5, show_default=True)
@click.option("--machinery-ms", type=Amount(), default=60, show_default=True, help="A step's own.")
@click.option("--memory-mb", type=Amount(128), default=512, show_default=True)
@click.option("--steps-per-invocation", type=Amount(1), default=1, show_default=True)
@click.option(
    "--batch", type=Amount(1), default=1, show_default=True, help="Steps that wait at once."
)
@click.option("--database-gb", type=Amount(20), default=20, show_default=True)
@click.option("--active-hours", type=Amount(), default=0, help="Aurora is awake for steps.")
@click.option("--line-seconds", type=Amount(), default=0, help="A run's stream is open, Streaming.")
@click.option("--egress", type=click.Choice(["ipv6", "nat", "endpoints"]), default="ipv6")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def cost(as_json: bool, **load: Any) -> None:
    """Print what a month costs in each profile, and beside it what else could run the steps.

    Without tokens, which cost more than all of it.
    """
    found = bills(Workload(**load))
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        show(found, Console(highlight=False))


def document(found: list[Bill]) -> dict[str, Any]:
    """The bills and the prices behind them; amounts are text, exact."""
    return {
        "price_list": price_list(),
        "bills": [
            {
                "name": bill.name,
                "total": str(bill.total),
                "high": str(bill.high),
                "lines": [{k: str(v) for k, v in asdict(line).items()} for line in bill.lines],
            }
            for bill in found
        ],
    }


def show(found: list[Bill], console: Console) -> None:
    """A table for each bill, and where the prices are from."""
    for bill in found:
        table = Table("line", title=bill.name, title_justify="left", show_footer=True)
        table.columns[0].footer = "a month"
        table.add_column("USD", dollars(bill.total, bill.high), justify="right")
        for line in bill.lines:
            table.add_row(line.what, dollars(line.usd, line.high))
        console.print(table)
    listed = price_list()
    console.print(f"Prices of {listed['as_of']}, {listed['region']}: {listed['unit']}.")
    for price in listed["prices"].values():
        if "note" in price:
            console.print(f"{price['per']}: {price['note']}")
    console.print("Sources:", *sorted({price["source"] for price in listed["prices"].values()}))


def dollars(low: Decimal, high: Decimal) -> str:
    """An amount, or from where to where."""
    return f"{low:,.2f}" if low == high else f"{low:,.2f} to {high:,.2f}"
