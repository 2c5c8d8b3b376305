"""What is sealed, and how: every column that holds what a user said. All others are clear."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graph.adapters.sealing.forms import (
    ANYTHING,
    Data,
    Form,
    Frames,
    Kind,
    Leaves,
    Lists,
    Object,
    Text,
    Typed,
)
from graph.runtime.retention import KEEPS

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What SQL reads of them stays clear: an assistant's id, what it keeps, where checkpoints come from.
METADATA = Leaves(
    "metadata", clear=MappingProxyType({"assistant_id": ID, "retention": re.compile(KEEPS)})
)
CHECKPOINT_METADATA = Leaves(
    "checkpoint metadata",
    of_owner=False,  # lists of checkpoints are not told whose they are
    clear=MappingProxyType(
        {
            **dict.fromkeys(("run_id", "source", "step", "parents"), ANYTHING),
            # What the engine says in every step, and Postgres does not read, is not worth its seal.
            **dict.fromkeys(("fence", "baton_seq"), re.compile(r"\d+")),
            "invocation": re.compile(f"({ID.pattern})?"),
            "assistant_id": ID,
            "graph_version": re.compile(r"source-[0-9a-f]{12}"),
        }
    ),
)
WEBHOOK = Text("webhook")
WEBHOOK_ERROR = Text("webhook's error", of_owner=False)  # may quote what the receiver was sent
KWARGS = Object(
    "kwargs", clear=frozenset({"checkpoint_id"}), texts=MappingProxyType({"webhook": WEBHOOK})
)
INTERRUPTS = Lists("interrupts", of=Object("interrupt", clear=frozenset({"id"})))
CONFIG, CONTEXT, PAYLOAD = Object("config"), Object("context"), Object("payload")
ERROR, CALLER = Object("error"), Object("caller")
REQUEST, RESULT = Object("model request"), Object("model answer", of_owner=False)
DESCRIPTION, REQUEST_HASH = Text("description"), Text("request hash")
ITEM = Leaves("item")  # of the long-term store
BODY, BLOB, WRITE = Data("checkpoint"), Typed("value"), Typed("write")
ITEMS, EVENT = Frames("items"), Data("event")


@dataclass(frozen=True, slots=True)
class Table:
    """A table's key, its sealed columns, and where the owner of a row is found."""

    key: tuple[str, ...]
    columns: Mapping[str, Form]
    owner: str = "t.owner"  # of the row `t`, or a subquery


OF_THREAD = "(SELECT owner FROM threads o WHERE o.thread_id = t.thread_id)"
OF_RUN = "(SELECT owner FROM runs o WHERE o.run_id = t.run_id)"
ASSISTANT: Mapping[str, Form] = {
    "config": CONFIG,
    "context": CONTEXT,
    "metadata": METADATA,
    "description": DESCRIPTION,
}
TABLES: Mapping[str, Table] = {
    "threads": Table(
        ("thread_id",),
        {"metadata": METADATA, "config": CONFIG, "interrupts": INTERRUPTS, "error": ERROR},
    ),
    "runs": Table(
        ("run_id",),
        {
            "metadata": METADATA,
            "payload": PAYLOAD,
            "kwargs": KWARGS,
            "error": ERROR,
            "request_hash": REQUEST_HASH,
        },
    ),
    "checkpoints": Table(
        ("thread_id", "ns", "checkpoint_id"),
        {"metadata": CHECKPOINT_METADATA, "body": BODY},
        OF_THREAD,
    ),
    "blobs": Table(("thread_id", "blob_id"), {"data": BLOB}, OF_THREAD),
    "items": Table(("thread_id", "list_id", "start"), {"data": ITEMS}, OF_THREAD),
    "writes": Table(
        ("thread_id", "ns", "checkpoint_id", "task_id", "idx"),
        {"data": WRITE, "was_data": WRITE},
        OF_THREAD,
    ),
    "events": Table(("run_id", "seq"), {"data": EVENT}, OF_RUN),
    "assistants": Table(("owner", "assistant_id"), ASSISTANT),
    "assistant_versions": Table(("owner", "assistant_id", "version"), ASSISTANT),
    "crons": Table(
        ("cron_id",),
        {
            "metadata": METADATA,
            "stamp": METADATA,
            "payload": PAYLOAD,
            "kwargs": KWARGS,
            "error": ERROR,
        },
    ),
    "webhooks": Table(("run_id",), {"url": WEBHOOK, "error": WEBHOOK_ERROR}, OF_RUN),
    "batch_calls": Table(("call_key",), {"request": REQUEST, "result": RESULT}),
    "connections": Table(("connection_id",), {"caller": CALLER}),
    "store": Table(("prefix", "key"), {"value": ITEM}, "split_part(t.prefix, '.', 1)"),
}

# Where statements have them: as parameters, and as columns of what they return.
SAME: Mapping[str, Form] = {
    "metadata": METADATA,
    "stamp": METADATA,
    "config": CONFIG,
    "context": CONTEXT,
    "description": DESCRIPTION,
    "payload": PAYLOAD,
    "kwargs": KWARGS,
    "interrupts": INTERRUPTS,
    "error": ERROR,
    "request_hash": REQUEST_HASH,
    "request": REQUEST,
    "result": RESULT,
    "caller": CALLER,
    "w_error": WEBHOOK_ERROR,
}
PARAMETERS: Mapping[str, Form] = {
    **SAME,
    "belongs": METADATA,
    "c_metadata": CHECKPOINT_METADATA,
    "c_body": BODY,
    "b_kind": Kind("kind"),
    "b_data": BLOB,
    "i_data": ITEMS,
    "w_kind": Kind("kind"),
    "w_data": WRITE,
    "e_data": EVENT,
}
ESCAPED: Mapping[str, Form] = {  # where nothing is sealed
    name: form for name, form in PARAMETERS.items() if isinstance(form, Leaves | Text)
}
RETURNED: Mapping[str, Form] = {
    **SAME,
    "run_metadata": METADATA,
    "questions": INTERRUPTS,
    "body": BODY,
    "blobs": BLOB,
    "items": ITEMS,
    "writes": WRITE,
    "data": EVENT,
    "url": WEBHOOK,
}
