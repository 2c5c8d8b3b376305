"""When a schedule comes round: five fields of cron by the wall clock of a time zone."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from graph.errors import BadInput


def next_firing(schedule: str, timezone: str | None, *, after: datetime) -> datetime:
    """The first due time after a moment, in UTC.

    Where a clock is put forward or back it does as Debian's cron does: a fixed time that is left
    out comes at the first minute after the gap, one that comes twice counts once, and schedules
    whose minute or hour is a `*` go by the time that really passes. Raises BadInput.
    """
    from cronsim import CronSim, CronSimError  # only where a schedule is read

    if len(schedule.split()) != 5:
        raise BadInput(
            f"schedule: {schedule!r} is not five fields: minute, hour, day of the month, month, "
            "day of the week"
        )
    try:
        times = CronSim(schedule, after.astimezone(zone(timezone)))
    except CronSimError as error:
        raise BadInput(f"schedule: {schedule!r} is not a cron schedule: {error}") from error
    for time in times:  # from the first of two equal hours on, though `after` may be in the second
        if (due := time.astimezone(UTC)) > after:
            return due
    raise BadInput(f"schedule: {schedule!r} does not come round in the next 50 years")


def zone(name: str | None) -> tzinfo:
    """The zone of an IANA name, UTC for none; raises BadInput."""
    if name is None:
        return UTC
    try:
        found = ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, a path outside, a folder
        raise BadInput(f"timezone: {name!r} is not a name like Europe/Berlin") from error
    return UTC if name == "UTC" else found
