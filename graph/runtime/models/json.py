"""JSON objects, as clients send them and rows hold them."""

from typing import Any

Json = dict[str, Any]
