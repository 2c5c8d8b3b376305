"""How callers are told apart in this process, as its settings and the project say."""

import logging
from dataclasses import dataclass

from functions.api.access.identify import ByClaims, ByKey, Identify, anybody
from functions.api.access.project_auth import ProjectAuth
from functions.api.access.quotas import Quotas
from functions.api.access.remembered import Remembered
from functions.api.access.security import KEYS
from functions.api.access.subjects import Permit
from functions.settings import Settings
from graph.adapters.auth_config import Security
from graph.adapters.registry import Registry
from graph.runtime.keys import Keyring
from graph.runtime.ports import Store

log = logging.getLogger("baton.auth")


@dataclass(frozen=True, slots=True)
class Access:
    identify: Identify
    permit: Permit | None
    quotas: Quotas | None
    security: Security | None = None


def access_of(env: Settings, store: Store) -> Access:
    """The project's `auth` goes before BATON_AUTH; nothing of it is loaded yet."""
    quotas = Quotas(store, env.BATON_REQUESTS_PER_SECOND, env.BATON_REQUEST_BURST)
    registry = Registry(env.BATON_CONFIG)
    if registry.has_auth:
        said = registry.auth_config
        if said.wants_studio:
            log.warning(
                "auth.disable_studio_auth is false, and LangSmith Studio's users are not let in "
                "all the same: everybody passes the project's handlers"
            )
        own = ProjectAuth(registry.auth, claim=env.BATON_OWNER_CLAIM)
        identify = Remembered(own.identify, said.cache) if said.cache else own.identify
        return Access(identify, own.permit, quotas, said.openapi)
    by_key = env.BATON_AUTH == "keys"
    return Access(_identify(env, store), None, quotas, KEYS if by_key else None)


def _identify(env: Settings, store: Store) -> Identify:
    if env.BATON_AUTH == "keys":
        return ByKey(Keyring(store, remembers=env.BATON_KEY_SECONDS))
    if env.BATON_AUTH == "gateway":
        return ByClaims(env.BATON_OWNER_CLAIM)
    return anybody
