"""How callers are told apart in this process, as its settings and the project say."""

from dataclasses import dataclass

from functions.api.access.identify import ByClaims, ByKey, Identify, anybody
from functions.api.access.project_auth import ProjectAuth
from functions.api.access.quotas import Quotas
from functions.api.access.subjects import Permit
from functions.settings import Settings
from graph.adapters.registry import Registry
from graph.runtime.keys import Keyring
from graph.runtime.ports import Store


@dataclass(frozen=True, slots=True)
class Access:
    identify: Identify
    permit: Permit | None
    quotas: Quotas | None


def access_of(env: Settings, store: Store) -> Access:
    """The project's `auth` goes before BATON_AUTH; nothing of it is loaded yet."""
    quotas = Quotas(
        store, env.BATON_REQUESTS_PER_SECOND, env.BATON_REQUEST_BURST, env.BATON_UNFINISHED_RUNS
    )
    registry = Registry(env.BATON_CONFIG)
    if registry.has_auth:
        own = ProjectAuth(registry.auth, claim=env.BATON_OWNER_CLAIM)
        return Access(own.identify, own.permit, quotas)
    return Access(_identify(env, store), None, quotas)


def _identify(env: Settings, store: Store) -> Identify:
    if env.BATON_AUTH == "keys":
        return ByKey(Keyring(store, remembers=env.BATON_KEY_SECONDS))
    if env.BATON_AUTH == "gateway":
        return ByClaims(env.BATON_OWNER_CLAIM)
    return anybody
