"""Packages that load what a name needs when it is asked for; the rest behaves as ever."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, ValidationError

from functions.lazy_packages import make_lazy
from functions.wiring import LATE_MODELS, LAZY_PACKAGES

NAMES = '"""Doc."""\nfrom .a import A\nfrom shop.b import B as Bee\n\n__all__ = ["A", "Bee"]\n'
ENV = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "QUEUE_URL": "unix:///none"}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of three modules, the third imported by the second; its `__init__` is to write."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.py").write_text("class A: ...\n")
    (folder / "b.py").write_text("from shop.c import C\nclass B: ...\n")
    (folder / "c.py").write_text("class C: ...\n")
    (folder / "__init__.py").write_text(NAMES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    make_lazy(["shop"], models_of=["shop.models", "shop.more"])
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def loaded() -> list[str]:
    return sorted(name.removeprefix("shop.") for name in sys.modules if name.startswith("shop."))


@pytest.mark.usefixtures("shop")
def test_a_name_loads_what_it_needs() -> None:
    shop = import_module("shop")
    assert (loaded(), shop.__doc__, shop.__all__) == ([], "Doc.", ["A", "Bee"])
    assert shop.A is import_module("shop.a").A
    assert loaded() == ["a"]
    assert shop.Bee is shop.Bee is import_module("shop.b").B
    assert loaded() == ["a", "b", "c"]


@pytest.mark.usefixtures("shop")
def test_a_module_of_the_package_does_not_load_the_others() -> None:
    exec("from shop.a import A\nfrom shop import a", {})
    assert "b" not in loaded()


@pytest.mark.usefixtures("shop")
def test_whatever_else_the_import_brought_is_there_when_it_is_asked_for() -> None:
    shop = import_module("shop")
    assert shop.c.C is import_module("shop.b").C  # nobody imported shop.c but shop.b
    with pytest.raises(AttributeError, match="'shop' has no attribute 'd'"):
        _ = shop.d
    with pytest.raises(ImportError):
        exec("from shop import d", {})


@pytest.mark.parametrize("listed", [True, False])
def test_a_star_takes_all_names(shop: Path, listed: bool) -> None:
    if not listed:
        (shop / "__init__.py").write_text(NAMES.partition("__all__")[0])
    namespace: dict[str, object] = {}
    exec("from shop import *", namespace)
    assert {"A", "Bee"} <= namespace.keys()


@pytest.mark.parametrize(
    "more",
    [
        "made = A()",
        "def f(): return A",
        "if True: A = 1",
        "from shop.c import *",
        "from os import path",
        "import os",
        "from . import c",
        "print",
        "x = [n for n in 'ab']",
    ],
)
def test_a_package_that_does_more_than_pass_on_names_loads_as_ever(shop: Path, more: str) -> None:
    with (shop / "__init__.py").open("a") as file:
        file.write(f"{more}\n")
    found = import_module("shop")
    assert {"a", "b", "c"} == set(loaded())
    assert "__getattr__" not in vars(found)


def test_a_module_that_fails_is_raised_to_whoever_asks_each_time(shop: Path) -> None:
    (shop / "b.py").write_text("raise RuntimeError('closed')\n")
    found = import_module("shop")
    assert found.A
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            _ = found.Bee


def test_many_that_ask_at_once_get_the_same(shop: Path) -> None:
    (shop / "b.py").write_text("import time\ntime.sleep(0.05)\nclass B: ...\n")
    found = import_module("shop")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: found.Bee, range(8)))) == 1


MODELS = """
from pydantic import BaseModel

class Item(BaseModel):
    price: int

class Basket(BaseModel):
    items: list[Item]
"""


def test_models_are_built_when_they_are_first_used(shop: Path) -> None:
    (shop / "models.py").write_text(MODELS)
    models = import_module("shop.models")
    assert not models.Basket.__pydantic_complete__

    basket = models.Basket.model_validate({"items": [{"price": "1"}]})

    assert models.Basket.__pydantic_complete__
    assert basket.model_dump() == {"items": [{"price": 1}]}
    assert basket == models.Basket(items=[models.Item(price=1)])
    with pytest.raises(ValidationError, match=r"items\.0\.price"):
        models.Basket(items=[{"price": "a lot"}])


def test_models_of_others_are_built_as_ever(shop: Path) -> None:
    (shop / "models.py").write_text(MODELS)
    models = import_module("shop.models")

    class Mine(BaseModel):
        item: models.Item  # type: ignore[name-defined]  # known by name alone

    assert Mine.__pydantic_complete__
    assert Mine.model_validate({"item": {"price": 2}}).model_dump() == {"item": {"price": 2}}


def test_a_module_of_models_that_fails_leaves_nothing_behind(shop: Path) -> None:
    (shop / "models.py").write_text("raise RuntimeError('closed')\n")
    with pytest.raises(RuntimeError, match="closed"):
        import_module("shop.models")
    assert BaseModel.model_config == {}
    assert "shop.models" not in sys.modules


def test_two_that_load_models_at_once_leave_nothing_behind(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = SimpleNamespace(first=Event(), second=Event(), over=Event())
    monkeypatch.setitem(sys.modules, "meeting", meeting)
    wait = "import meeting\nmeeting.{0}.set()\nassert meeting.{1}.wait(10)\n"
    (shop / "models.py").write_text(wait.format("first", "second") + MODELS)
    (shop / "more.py").write_text(wait.format("second", "over") + MODELS)
    import_module("shop")
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(import_module, "shop.models")
        one.add_done_callback(lambda _: meeting.over.set())
        assert meeting.first.wait(10)
        import_module("shop.more")
        one.result()
    assert BaseModel.model_config == {}


def test_a_module_knows_its_usual_loader(shop: Path) -> None:
    (shop / "models.py").write_text(MODELS)
    for name in ("shop", "shop.models"):
        module = import_module(name)
        assert module.__spec__ is not None
        assert type(module.__spec__.loader) is type(module.__loader__) is SourceFileLoader


COMPARE = """
import sys
from importlib import import_module
import functions.step.handler, langgraph.graph
print(*sorted(m for m in ("langgraph_sdk.client", "langsmith.types.run") if m in sys.modules))
for package in {packages!r}:
    module = import_module(package)
    getattr(module, "nothing of that name", None)
    for name, value in sorted(vars(module).items()):
        if not name.startswith("__"):
            print(package, name, type(value).__name__, getattr(value, "__module__", ""))
"""


def fresh(code: str, **env: str) -> str:
    told = {**os.environ, **ENV, **env}
    done = subprocess.run(
        [sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_langgraphs_own_packages_are_lazy_and_hold_what_they_held() -> None:
    """A new version whose `__init__` does more would load as ever: then this test says so."""
    code = COMPARE.format(packages=LAZY_PACKAGES)
    lazily, *found = fresh(code).splitlines()
    as_ever, *expected = fresh(code, BATON_LAZY_IMPORTS="false").splitlines()

    assert (lazily, as_ever) == ("", "langgraph_sdk.client langsmith.types.run")
    assert found == expected
    assert len(found) > 200


DESCRIBE = """
import json
from importlib import import_module
import functions.step.handler, functions.api.handler, langgraph.graph
from pydantic import BaseModel
from langsmith.run_trees import RunTree
late = 0
for name in {modules!r}:
    for kind in vars(import_module(name)).values():
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == name:
            late += not kind.__pydantic_complete__
            try:
                shown = kind.model_json_schema()
            except Exception as error:  # what has no schema has none either way
                shown = type(error).__name__
            print(name, kind.__name__, json.dumps(shown))
run = RunTree(name="asked", inputs={{"n": 1}}, id="0190a0b0-0000-7000-8000-000000000000")
child = run.create_child("called", run_type="tool")
child.end(outputs={{"n": 2}})
fields = {{"name", "inputs", "outputs", "parent_run_id"}}
print(*(each.model_dump_json(include=fields) for each in (run, child)))
print(late)
"""


def test_late_models_are_what_they_would_have_been() -> None:
    code = DESCRIBE.format(modules=LATE_MODELS)
    *found, late = fresh(code).splitlines()
    *expected, at_once = fresh(code, BATON_LAZY_IMPORTS="false").splitlines()

    assert found == expected
    assert len(found) > 80
    assert int(at_once) < 10 < 60 < int(late), "a few wait in any case for what is defined later"


RUN = """
import asyncio
import functions.step.handler
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

def ask(state):
    return {"messages": [AIMessage(interrupt("name?"), id="a")]}

inner = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()
graph = StateGraph(MessagesState).add_node("inner", inner)
graph.add_conditional_edges(START, lambda state: [Send("inner", state)], ["inner"])
graph = graph.compile(checkpointer=InMemorySaver())

@task
def double(n):
    return 2 * n

@entrypoint()
def doubled(n):
    return double(n).result()

async def main():
    config = {"configurable": {"thread_id": "t"}}
    given = {"messages": [HumanMessage("hi", id="h")]}
    async for _ in graph.astream(given, config, stream_mode=["updates", "messages"]):
        pass
    events = [e["event"] async for e in graph.astream_events(Command(resume="Ada"), config)]
    state = await graph.aget_state(config)
    print(events[0], events[-1], [m.content for m in state.values["messages"]])
    print(doubled.invoke(21), graph.get_graph().draw_mermaid()[:3])

asyncio.run(main())
"""


def test_langgraph_runs_as_ever() -> None:
    """Nested graphs, questions, sends, tasks, streams and events, on LangGraph as it is."""
    found = fresh(RUN)
    assert found == "on_chain_start on_chain_end ['hi', 'Ada']\n42 ---\n"
    assert found == fresh(RUN, BATON_LAZY_IMPORTS="false")
