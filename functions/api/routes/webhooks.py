"""How the webhook of a run that ended stands."""

from uuid import UUID

from fastapi import Response

from functions.api.access.owner import Owner
from functions.api.answers import answer
from functions.api.edge import Api
from functions.api.routing import routes_of

router = routes_of("Runs")


@router.get("/threads/{thread_id}/runs/{run_id}/webhook")
async def webhook(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    """Its status (pending, delivered or failed), attempts, and the error of the last one."""
    found = await api.rt.store.get_webhook(str(run_id), str(thread_id), owner)
    return answer(
        {
            "run_id": found.run_id,
            "url": found.url,
            "status": found.status,
            "attempts": found.attempts,
            "error": found.error,
            "due": found.due if found.status == "pending" else None,
            "updated_at": found.updated_at,
        }
    )
