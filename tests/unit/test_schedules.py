"""When schedules come round, clocks that change included."""

from datetime import UTC, datetime

import pytest

from graph.errors import BadInput
from graph.runtime.schedules import next_firing, zone

BERLIN = "Europe/Berlin"  # to summer time on 2026-03-29 at 01:00 UTC, back on 10-25 at 01:00 UTC


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def firings(schedule: str, timezone: str | None, after: str, count: int) -> list[str]:
    """The next due times, as UTC."""
    found, moment = [], at(after)
    for _ in range(count):
        due = next_firing(schedule, timezone, after=moment)
        assert due > moment
        found.append(due.strftime("%m-%d %H:%M"))
        moment = due
    return found


def test_a_schedule_goes_by_the_clock_of_its_zone() -> None:
    weekdays = firings("30 8 * * MON-FRI", None, "2026-01-02 09:00", 2)
    assert weekdays == ["01-05 08:30", "01-06 08:30"]
    assert firings("30 8 * * *", BERLIN, "2026-01-02 09:00", 1) == ["01-03 07:30"]
    assert firings("30 8 * * *", "Asia/Kolkata", "2026-01-02 09:00", 1) == ["01-03 03:00"]
    assert firings("30 8 * * *", BERLIN, "2026-03-28 00:00", 2) == ["03-28 07:30", "03-29 06:30"]


def test_what_is_due_at_this_very_moment_is_not_due_again() -> None:
    assert firings("0 12 * * *", None, "2026-01-01 12:00", 1) == ["01-02 12:00"]
    assert firings("* * * * *", None, "2026-01-01 12:00:59", 1) == ["01-01 12:01"]


def test_a_fixed_time_that_the_clock_leaves_out_comes_right_after_the_gap() -> None:
    wanted = ["03-28 01:30", "03-29 01:00", "03-30 00:30"]
    assert firings("30 2 * * *", BERLIN, "2026-03-27 12:00", 3) == wanted
    assert firings("15,45 2 * * *", BERLIN, "2026-03-28 12:00", 2) == ["03-29 01:00", "03-30 00:15"]


def test_a_fixed_time_that_comes_twice_counts_once() -> None:
    wanted = ["10-25 00:30", "10-26 01:30"]
    assert firings("30 2 * * *", BERLIN, "2026-10-24 12:00", 2) == wanted
    assert firings("30 2 * * *", BERLIN, "2026-10-25 01:10", 1) == ["10-26 01:30"]


def test_what_goes_by_the_hour_follows_the_time_that_passes() -> None:
    wanted = ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"]
    assert firings("*/30 * * * *", BERLIN, "2026-10-24 23:40", 5) == wanted
    wanted = ["03-29 00:00", "03-29 01:00", "03-29 02:00"]
    assert firings("0 * * * *", BERLIN, "2026-03-28 23:10", 3) == wanted


def test_a_rare_day_is_waited_for() -> None:
    assert next_firing("0 0 29 2 *", None, after=at("2026-01-01")) == at("2028-02-29")
    assert next_firing("0 0 29 2 */7", None, after=at("2026-01-01")) == at("2032-02-29")


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "@daily",
        "a b c d e",
        "0 0 31 2 *",
        "*/0 * * * *",
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule: str) -> None:
    with pytest.raises(BadInput, match=r"^schedule: "):
        next_firing(schedule, None, after=at("2026-01-01"))


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "/etc/passwd", "../UTC", "Europe", "a\0b"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"^timezone: "):
        zone(name)
