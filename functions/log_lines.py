"""Log lines as Powertools writes them, for less than half: every step writes one."""

import logging
import os
from typing import Any

import orjson
from aws_lambda_powertools.logging.formatter import RESERVED_LOG_ATTRS, LambdaPowertoolsFormatter

RESERVED = frozenset(RESERVED_LOG_ATTRS)
MILLISECONDS = slice(20, 23)  # of 2026-11-21 19:30:00,123+0000


class LogLines(LambdaPowertoolsFormatter):
    """The same keys and values; a line with an exception, or beyond orjson, is Powertools' own."""

    _second, _time = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        if not record.exc_info and isinstance(record.msg, str):
            try:
                return orjson.dumps(self._said(record), default=str).decode()
            except TypeError:
                pass
        return super().format(record)

    def _said(self, record: logging.LogRecord) -> dict[str, Any]:
        said: dict[str, Any] = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": self._timestamp(record),
            "service": self.log_format["service"],
        }
        if trace := os.environ.get("_X_AMZN_TRACE_ID"):  # another one in each invocation
            said["xray_trace_id"] = trace.split(";")[0].removeprefix("Root=")
        for name, value in record.__dict__.items():
            if name not in RESERVED and value is not None:
                said[name] = value
        return said

    def _timestamp(self, record: logging.LogRecord) -> str:
        """Asked for once a second; only the milliseconds change meanwhile."""
        if self._second != int(record.created):
            self._second, self._time = int(record.created), self.formatTime(record)
        before, after = self._time[: MILLISECONDS.start], self._time[MILLISECONDS.stop :]
        return f"{before}{int(record.msecs):03}{after}"
