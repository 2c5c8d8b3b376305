"""What `baton dev` prints."""

from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from infra.local.stack import Stack

WIDTH = 9


class Terminal:
    """Tells what is up, and what the stack's processes say."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._prefixes: dict[str, str] = {}  # by who speaks

    def problem(self, message: str) -> None:
        """Why it does not start, in one line."""
        self._console.print(f"[red]baton:[/red] {escape(' '.join(message.split()))}")

    def note(self, name: str, value: str) -> None:
        self._console.print(f"[bold]{name:<{WIDTH}}[/bold] {escape(value)}")

    def up(self, stack: Stack) -> None:
        for name, value in facts(stack):
            self.note(name, value)
        self._console.print(f"Ready at [bold cyan]{stack.url}[/bold cyan]. Ctrl-C stops it.")

    def say(self, who: str, line: str) -> None:
        """A line of a process; structured logs are made readable."""
        text = readable(line)
        if not text.isprintable():
            self._console.print(Text.assemble(_prefix(who), Text.from_ansi(text)))
            return
        if who not in self._prefixes:  # a line for every step: rich takes its time with each
            with self._console.capture() as prefix:
                self._console.print(_prefix(who), end="")
            self._prefixes[who] = prefix.get()
        self._console.file.write(f"{self._prefixes[who]}{text}\n")
        self._console.file.flush()


def _prefix(who: str) -> Text:
    return Text(f"{who:<{WIDTH}} ", style="dim")


def facts(stack: Stack) -> list[tuple[str, str]]:
    """What is where."""
    pids = ", ".join(str(worker.pid) for worker in stack.workers)
    told = [
        ("Graphs", ", ".join(stack.graphs)),
        ("Postgres", stack.database_url),
        ("Queue", stack.queue_url),
        ("WebSocket", stack.websocket_url),
        ("Workers", f"{len(stack.workers)}, processes {pids}"),
    ]
    if stack.left_behind:
        told.insert(0, ("Cleaned", f"up after a killed stack: {', '.join(stack.left_behind)}"))
    if stack.offline_model_url:
        model = f"offline stand-in at {stack.offline_model_url}; set ANTHROPIC_API_KEY for Claude"
        told.append(("Model", model))
    return told


LOGGED = ("level", "location", "timestamp", "service", "message", "xray_trace_id", "name")


def readable(line: str) -> str:
    """A structured log line as `message key=value ...`; any other line as it is."""
    try:
        record: Any = orjson.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "message" not in record:
        return line
    level = "" if record.get("level") in ("INFO", None) else f"{record['level']} "
    rest = {key: value for key, value in record.items() if key not in LOGGED}
    trace = rest.pop("exception", None)
    pairs = " ".join(f"{key}={_short(value)}" for key, value in rest.items())
    return f"{level}{record['message']} {pairs}".rstrip() + (f"\n{trace}" if trace else "")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
