"""What a user said, sealed on its way into Postgres and opened on its way out.

`columns` declares what is sealed and how; nothing above the database knows of it.
"""

import re
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from graph.adapters.sealing.cipher import Cipher
from graph.adapters.sealing.columns import (
    CHECKPOINT_METADATA,
    ESCAPED,
    METADATA,
    PARAMETERS,
    RETURNED,
)
from graph.adapters.sealing.forms import Form, Leaves
from graph.adapters.sealing.keys import NO_KEYS, Keys, keys_of

__all__ = ["NO_KEYS", "Keys", "Seals", "keys_of"]

# How statements search metadata; a member of `holds` may be stored in several forms.
HOLDS = re.compile(r"((?:\w+\.)?metadata) @> %\(holds\)s(?:::jsonb)?")
RUNS = "runs"  # a parameter that is a list of them

Row = Mapping[str, Any]


class Seals:
    """Between statements and Postgres: parameters are sealed, rows opened.

    Without keys nothing is sealed; a row that is raises KeyMissing.
    """

    def __init__(self, keys: Keys = NO_KEYS) -> None:
        self.cipher = Cipher(keys)

    def sealed(self, statement: str, params: Row) -> tuple[str, Row]:
        """The statement, which a search by metadata may change, and what it is to be given."""
        if "holds" in params:
            statement, params = self._searching(statement, params)
        return statement, self._stored(params)

    def opened(self, row: dict[str, Any], params: Row) -> dict[str, Any]:
        owner = row.get("owner") or params.get("owner") or ""
        for name in row.keys() & RETURNED.keys():
            if row[name] is not None:
                form = RETURNED[name]
                if name == "metadata" and "checkpoint_id" in row:
                    form = CHECKPOINT_METADATA
                row[name] = form.open(row[name], self.cipher, owner)
        return row

    def _stored(self, params: Row) -> Row:
        forms = PARAMETERS if self.cipher.first else ESCAPED
        owner, said = params.get("owner") or "", _said(params, forms)
        made = {name: self._value(forms[name], params[name], owner) for name in said}
        if RUNS in params:
            made[RUNS] = Jsonb([self._run(run, forms, owner) for run in params[RUNS].obj])
        return {**params, **made} if made else params

    def _run(self, run: Row, forms: Mapping[str, Form], owner: str) -> Row:
        made = {k: forms[k].stored(run[k], self.cipher, owner) for k in _said(run, forms)}
        return {**run, **made}

    def _value(self, form: Form, value: Any, owner: str) -> Any:
        if isinstance(value, list):
            return type(value)(self._value(form, one, owner) for one in value)
        if isinstance(value, Jsonb):
            return Jsonb(form.stored(value.obj, self.cipher, owner))
        return form.stored(value, self.cipher, owner)

    def _searching(self, statement: str, params: Row) -> tuple[str, Row]:
        """With each member of what metadata must hold in all the forms it may be stored in."""
        found = HOLDS.search(statement)
        if found is None or not params["holds"].obj:
            return statement, params
        column, owner = found[1], params.get("owner") or ""
        form: Leaves = METADATA if owner else CHECKPOINT_METADATA
        if not self.cipher.keys.secrets:
            return statement, {**params, "holds": Jsonb(form.escape(params["holds"].obj))}
        given, terms = dict(params), []
        for place, member in enumerate(params["holds"].obj.items()):
            every = form.every(dict([member]), self.cipher, owner)
            names = [f"holds_{place}_{number}" for number in range(len(every))]
            given |= zip(names, map(Jsonb, every), strict=True)
            terms.append(" OR ".join(f"{column} @> %({name})s" for name in names))
        return HOLDS.sub(" AND ".join(f"({term})" for term in terms), statement), given


def _said(params: Row, forms: Mapping[str, Form]) -> list[str]:
    """Those of the parameters that have a form."""
    return [name for name in params.keys() & forms.keys() if params[name] is not None]
