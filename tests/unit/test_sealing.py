"""What keys do to values: sealed, found again, opened; and what they refuse."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from graph.adapters.sealing import NO_KEYS, Seals, keys_of
from graph.adapters.sealing.cipher import Bound, Cipher, key_of
from graph.adapters.sealing.columns import (
    CHECKPOINT_METADATA,
    DESCRIPTION,
    INTERRUPTS,
    ITEMS,
    KWARGS,
    METADATA,
    PAYLOAD,
    TABLES,
)
from graph.adapters.sealing.frames import end_of
from graph.adapters.sealing.keys import new_key
from graph.errors import BadProject, KeyMissing, Tampered
from graph.runtime.containment import contains
from tests.fixtures.keys import a_ring, entry, listed

FEW = settings(max_examples=40, deadline=None)
CIPHER = Cipher(a_ring("k1"))
ALICE, MALLORY = Bound("value", "alice"), Bound("value", "mallory")
SAID = "what nobody else may read"
json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json, max_size=4)


@FEW
@given(st.binary(max_size=2000), st.text(max_size=20))
def test_bytes_come_back_as_they_were(data: bytes, owner: str) -> None:
    bound = Bound("value", owner)
    sealed = CIPHER.seal(data, bound)
    assert CIPHER.open(sealed, bound) == data
    assert key_of(sealed) == "k1"


def test_a_long_text_is_compressed_and_its_seal_is_never_the_same() -> None:
    data = b"again and again " * 200
    one, two = CIPHER.seal(data, ALICE), CIPHER.seal(data, ALICE)
    assert one != two
    assert len(one) < len(data) / 10


@pytest.mark.parametrize("other", [MALLORY, Bound("write", "alice"), Bound("value")])
def test_a_seal_opens_in_its_own_place_only(other: Bound) -> None:
    with pytest.raises(Tampered, match="cannot be opened"):
        CIPHER.open(CIPHER.seal(b"x", ALICE), other)
    for open_, sealed in (
        (CIPHER.open_text, CIPHER.seal_text(b"x", ALICE)),
        (CIPHER.unmask, CIPHER.mask(b"x", ALICE)),
    ):
        with pytest.raises(Tampered, match="cannot be opened"):
            open_(sealed, other)


def test_what_was_sealed_as_nobodys_opens_for_whoever_got_it() -> None:
    nobody = Bound("value")
    assert CIPHER.open(CIPHER.seal(b"x", nobody), ALICE) == b"x"
    assert CIPHER.unmask(CIPHER.mask(b"x", nobody), ALICE).rstrip() == b"x"


def test_a_changed_byte_is_noticed_wherever_it_is() -> None:
    sealed = CIPHER.seal(b"some text", ALICE)
    for place in range(1, len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises((Tampered, KeyMissing)):
            CIPHER.open(bytes(changed), ALICE)


def test_a_missing_key_is_named_with_what_it_sealed_and_what_to_do() -> None:
    sealed, masked = CIPHER.seal(b"x", ALICE), CIPHER.mask(b"x", ALICE)
    for keys in (NO_KEYS, a_ring("k2")):
        with pytest.raises(
            KeyMissing, match=r"value is sealed with key 'k1'.*baton encryption rotate"
        ):
            Cipher(keys).open(sealed, ALICE)
        with pytest.raises(KeyMissing, match="'k1'"):
            Cipher(keys).unmask(masked, ALICE)


def test_any_key_opens_and_the_first_one_seals() -> None:
    old, new = CIPHER.seal(b"x", ALICE), Cipher(a_ring("k2", "k1"))
    assert new.open(old, ALICE) == b"x"
    assert key_of(new.seal(b"x", ALICE)) == "k2"


def test_texts_that_only_look_sealed_are_texts() -> None:
    for text in (
        "baton~",
        "baton~k1",
        "baton~k1:",
        "baton~k1:AA",
        "sealed",
        "baton~K1@" + "A" * 24,
    ):
        assert METADATA.open({"a": text}, CIPHER, "alice") == {"a": text}
        assert key_of(text) is None
    likely = CIPHER.mask(b'"x"', ALICE)
    assert METADATA.open(METADATA.seal({"a": likely}, CIPHER, "alice"), CIPHER, "alice") == {
        "a": likely
    }


@FEW
@given(objects, st.sampled_from([Cipher(), CIPHER]))
def test_a_text_that_a_user_made_is_never_taken_for_a_seal(said: Any, cipher: Cipher) -> None:
    seal = CIPHER.mask(b"0", Bound("metadata", "alice"))
    for text in (
        seal,
        f"baton~~{seal}",
        "baton~~",
        seal.replace("~", "~~"),
        "baton~lost:" + "A" * 24,
    ):
        assert METADATA.open(
            METADATA.stored({**said, "mine": [text]}, cipher, "alice"), CIPHER, "alice"
        ) == {**said, "mine": [text]}
        stored = DESCRIPTION.stored(text, cipher, "alice")
        assert DESCRIPTION.open(stored, CIPHER, "alice") == text


@FEW
@given(objects)
def test_leaves_come_back_and_none_is_left_clear(said: dict[str, Any]) -> None:
    sealed = METADATA.seal(said, CIPHER, "alice")
    assert METADATA.open(sealed, CIPHER, "alice") == said
    assert _texts(sealed) == [key for key in _texts(sealed) if key.startswith("baton~k1@")]


def _texts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _texts(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _texts(inner)]
    return [] if value is None else [value]


@FEW
@given(objects, st.data())
def test_what_is_contained_clear_is_contained_sealed(said: dict[str, Any], data: Any) -> None:
    keys = st.sampled_from(sorted(said)) if said else st.text()
    wanted = {key: said.get(key, data.draw(json)) for key in data.draw(st.lists(keys, max_size=2))}
    sealed = METADATA.seal(said, CIPHER, "alice")
    assert contains(sealed, METADATA.seal(wanted, CIPHER, "alice")) == contains(said, wanted)


def test_equal_numbers_are_found_by_each_other_and_true_is_as_long_as_false() -> None:
    sealed = [METADATA.seal({"a": leaf}, CIPHER, "alice")["a"] for leaf in (1, 1.0, True, False)]
    assert sealed[0] == sealed[1]
    assert len(set(sealed)) == 3
    assert len({len(text) for text in sealed}) == 1


def test_owners_cannot_be_compared() -> None:
    alices, mallorys = (METADATA.seal({"a": SAID}, CIPHER, who) for who in ("alice", "mallory"))
    assert alices != mallorys


def test_what_postgres_reads_of_metadata_stays_clear_and_nothing_else_in_its_place() -> None:
    assistant = "0190c1a4-0000-7000-8000-000000000000"
    clear = {"assistant_id": assistant, "retention": "run"}
    assert METADATA.seal(clear, CIPHER, "alice") == clear
    for said in ({"assistant_id": SAID}, {"retention": [1]}, {"inner": clear}):
        assert "baton~" in str(METADATA.seal(said, CIPHER, "alice"))
    for name in ("fence", "baton_seq", "invocation", "graph_version", "assistant_id"):
        for value in (SAID, {"deep": SAID}):
            assert SAID not in str(CHECKPOINT_METADATA.seal({name: value}, CIPHER, ""))
    made: dict[str, Any] = {
        "run_id": "r",
        "source": "loop",
        "step": 1,
        "parents": {"": "c"},
        "fence": 7,
    }
    made |= {"assistant_id": assistant, "invocation": "", "graph_version": "source-0123456789ab"}
    sealed = CHECKPOINT_METADATA.seal({**made, "who": SAID}, CIPHER, "alice")
    assert {**sealed, "who": ""} == {**made, "who": ""}
    assert SAID not in str(sealed)


def test_an_object_is_one_text_beside_what_postgres_reads() -> None:
    said = {"checkpoint_id": "c1", "webhook": "https://x.example/?token=1", "config": {SAID: SAID}}
    sealed = KWARGS.seal(said, CIPHER, "alice")
    assert sealed.keys() == {"checkpoint_id", "webhook", "sealed"}
    assert sealed["checkpoint_id"] == "c1"
    assert SAID not in str(sealed)
    assert "token" not in str(sealed)
    assert KWARGS.open(sealed, CIPHER, "alice") == said
    for plain in ({}, {"checkpoint_id": None}, {"input": {"sealed": "x"}}):
        assert KWARGS.open(plain, CIPHER, "alice") == plain
        assert KWARGS.open(KWARGS.seal(plain, CIPHER, "alice"), CIPHER, "alice") == plain
    assert isinstance(PAYLOAD.seal({"input": 1}, CIPHER, "alice"), str)
    assert PAYLOAD.seal({}, CIPHER, "alice") == {}


def test_questions_keep_their_ids() -> None:
    asked = {"task": [{"id": "q1", "value": {"ask": SAID}}, {"id": "q2", "value": None}]}
    sealed = INTERRUPTS.seal(asked, CIPHER, "alice")
    assert [question["id"] for question in sealed["task"]] == ["q1", "q2"]
    assert SAID not in str(sealed)
    assert INTERRUPTS.open(sealed, CIPHER, "alice") == asked


@FEW
@given(st.lists(json | st.binary(), max_size=6))
def test_where_a_frame_ends_is_where_the_next_begins(values: list[Any]) -> None:
    frames = [ormsgpack.packb(value) for value in values]
    data, at, found = b"".join(frames), 0, []
    while at < len(data):
        found.append(data[at : end_of(data, at)])
        at += len(found[-1])
    assert found == frames


def test_a_long_value_ends_where_its_length_says() -> None:
    for value in ("x" * 40, "x" * 300, "x" * 70_000, b"x" * 300, list(range(70_000)), {"a": [1.5]}):
        data = ormsgpack.packb(value)
        assert end_of(data + b"\xc1", 0) == len(data)
    with pytest.raises(ValueError, match="0xc1"):
        end_of(b"\xc1", 0)


@FEW
@given(st.lists(st.tuples(st.booleans(), st.lists(json | st.binary(), min_size=1, max_size=3))))
def test_rows_of_a_list_are_opened_whichever_are_sealed(rows: list[tuple[bool, list[Any]]]) -> None:
    frames = [b"".join(map(ormsgpack.packb, values)) for _, values in rows]
    stored = [
        ITEMS.seal(data, CIPHER, "alice") if sealed else data
        for data, (sealed, _) in zip(frames, rows, strict=True)
    ]
    ((opened,),) = ITEMS.open([[b"".join(stored)]], CIPHER, "alice")
    assert opened == b"".join(frames)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("k1", "not 32"),
        ("k1:AAAA", "has 3 bytes, not 32"),
        ("k1:no base64!", "not base64"),
        (f"{entry('k1')},{entry('k1')}", "k1 is there twice"),
        (entry("k1").replace("k1", "K 1"), "entry 1 does not begin with an id"),
        (entry("k1").replace("k1", ""), "entry 1 does not begin with an id"),
        (f"{entry('k1')},plain", "entry 2 does not begin with an id"),
    ],
)
def test_bad_keys_stop_the_start_and_are_not_shown(text: str, why: str) -> None:
    with pytest.raises(BadProject, match="ENCRYPTION_KEYS") as raised:
        keys_of(text)
    assert why in str(raised.value)
    secret = text.partition(":")[2]
    assert not secret or secret not in str(raised.value)


def test_keys_are_listed_as_they_are_made() -> None:
    made = keys_of(f" {new_key('new')} , {entry('old')},")
    assert (made.first, list(made.secrets)) == ("new", ["new", "old"])
    assert new_key("a") != new_key("a")
    assert "secrets" not in repr(made)
    with pytest.raises(BadProject, match="id of a-z"):
        new_key("plain")
    assert keys_of("") == keys_of(" , ") == NO_KEYS
    assert keys_of(listed("plain", "k1")) == replace(a_ring("k1"), first=None)


def test_a_search_asks_for_every_form_a_member_may_be_stored_in() -> None:
    seals = Seals(a_ring("k2", "k1"))
    asked = {"owner": "alice", "holds": Jsonb({"a": 1, "assistant_id": None}), "limit": 1}
    statement, params = seals.sealed("WHERE metadata @> %(holds)s LIMIT %(limit)s", asked)
    terms = " OR ".join(f"metadata @> %(holds_0_{n})s" for n in range(3))
    assert statement == f"WHERE ({terms}) AND (metadata @> %(holds_1_0)s) LIMIT %(limit)s"
    assert params["holds_0_0"].obj == {"a": 1}
    assert [key_of(params[f"holds_0_{n}"].obj["a"]) for n in (1, 2)] == ["k2", "k1"]


def test_nothing_is_sealed_and_nothing_loaded_without_keys() -> None:
    params = {"metadata": Jsonb({"a": 1}), "holds": Jsonb({}), "c_body": [b"x"], "w_kind": ["y"]}
    statement, given = Seals().sealed("metadata @> %(holds)s", params)
    assert statement == "metadata @> %(holds)s"
    assert {**given, "metadata": given["metadata"].obj} == {**params, "metadata": {"a": 1}}
    code = (
        "import sys, functions.step.handler, functions.wiring; "
        "from graph.adapters.sealing import Seals; Seals().opened({'data': b'{}'}, {}); "
        "print([name for name in sys.modules if name.split('.')[0] == 'cryptography'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_first_entry_plain_only_opens() -> None:
    row = Seals(a_ring("k1")).sealed("", {"owner": "alice", "payload": Jsonb({"input": SAID})})[1]
    seals = Seals(a_ring("plain", "k1"))
    _, params = seals.sealed("", {"owner": "alice", "payload": Jsonb({"input": SAID})})
    assert params["payload"].obj == {"input": SAID}
    stored = {"owner": "alice", "payload": row["payload"].obj}
    assert seals.opened(stored, {})["payload"] == {"input": SAID}


# Columns that may hold a text, and are not sealed: a new one is either declared or named here.
CLEAR = {
    "ids": """api_keys.key_id api_keys.digest assistant_id batch_id batch_calls.call_key blob_id
        blob_ids checkpoint_id connection_id cron_id made_assistant parent_id run_id task_id
        thread_id usage.call_id head active_run_id queued idempotency_key thinned""",
    "owners": "owner turns.owner",
    "names": """graph_id api_keys.name assistants.name assistant_versions.name events.name
        walks.name walks.place node model batch_calls.node ns channel channels task_path bucket
        prefix store.key lists""",
    "states": """status kind was_kind schedule timezone on_run_completed multitask_strategy
        ttl_strategy rests_as""",
    "tables of the demo agents": "documents memories order_changes orders outbox",
}


def test_every_column_is_sealed_or_known_to_be_clear() -> None:
    clear, sealed = set(" ".join(CLEAR.values()).split()), set[str]()
    schema = (Path(__file__).parents[2] / "infra" / "schema.sql").read_text()
    tables = re.findall(
        r"^CREATE (?:UNLOGGED )?TABLE public\.(\w+) \((.*?)^\)", schema, re.M | re.S
    )
    undecided = []
    for table, body in tables:
        for column in re.findall(r"^    (\w+) (?:text|jsonb|bytea)", body, re.M):
            if table in TABLES and column in TABLES[table].columns:
                sealed.add(f"{table}.{column}")
            elif not clear & {table, column, f"{table}.{column}"}:
                undecided.append(f"{table}.{column}")
    assert undecided == []
    assert sealed == {
        f"{name}.{column}" for name, table in TABLES.items() for column in table.columns
    }
