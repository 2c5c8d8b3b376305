"""The page at the server's address: for people, and not in anything's way."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from functions.api.access.callers import Caller
from tests.fixtures.service import Service, service

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def page(api: Service) -> str:
    answer = await api.http.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["vary"] == "Accept"
    return answer.text


async def test_a_browser_sees_the_graphs_and_how_to_connect() -> None:
    api = service()
    text = await page(api)
    for name in api.rt.graphs.names():
        assert f"<li>{name}</li>" in text
    assert 'thread["thread_id"], "' + next(iter(api.rt.graphs.names())) in text
    for link in re.findall(r'href="([^"]+)"', text):
        assert (await api.http.get(f"/{link}")).status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
async def test_a_program_is_told_that_the_server_is_up(accept: str) -> None:
    headers = {"Accept": accept}
    assert await service().call("GET", "/", headers=headers) == {"ok": True}


async def test_where_callers_are_told_apart_strangers_are_told_no_names() -> None:
    async def somebody(request: Any) -> Caller:
        raise AssertionError("nobody is asked who they are")

    api = service(identify=somebody)
    text = await page(api)
    assert "<li>" not in text
    assert 'api_key="..."' in text
    assert not [name for name in api.rt.graphs.names() if f'"{name}"' in text]
    assert await api.call("GET", "/") == {"ok": True}


async def test_the_page_loads_nothing_from_elsewhere_and_is_well_formed() -> None:
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)
            assert not {"src", "srcset"} & {name for name, _ in attrs}

        def handle_endtag(self, tag: str) -> None:
            while seen.pop() != tag:
                pass

    text = await page(service())
    Tags().feed(text)
    assert seen == []
    assert "http" not in text.replace('<html lang="en">', "")


async def test_a_graphs_name_is_text() -> None:
    text = await page(service(more_graphs={"<b>$first": object()}))
    assert "<li>&lt;b&gt;$first</li>" in text
