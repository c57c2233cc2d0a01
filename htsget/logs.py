"""The log: a JSON object a line, without anything that would let its reader in."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["ACCESS", "JsonFormatter", "configuration", "redacted"]

ACCESS = logging.getLogger("lake.htsget.access")
"""One record a request; its fields stand in ``record.fields``."""

_SECRETS = re.compile(
    r"lake_[0-9a-f]{16}_[\w-]+"  # tokens of a lake
    r"|\beyJ[\w-]*\.[\w-]+\.[\w-]*"  # JWT: their header starts with {"
    r"|[\w-]{8,}\.[\w-]{22}(?![\w-])"  # signed URLs
    r"|(?i:(?P<name>bearer |(?:token|key|secret|signature|password)=)[^&\s]+)"
)


def redacted(text: str) -> str:
    """The text with tokens and signatures replaced."""
    return _SECRETS.sub(r"\g<name>…", text)


class JsonFormatter(logging.Formatter):
    """``time`` (RFC 3339, UTC), ``level``, ``logger``; then the fields of the record, or its message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields: Mapping[str, Any] | None = getattr(record, "fields", None)
        if fields is not None:
            line.update(fields)
        else:
            line["message"] = redacted(record.getMessage())
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def configuration(*, access: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything to standard error; with or without a line a request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "lake.htsget.logs.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "lake.htsget": {"level": "INFO"},
            "lake.htsget.access": {"level": "INFO" if access else "WARNING"},
        },
    }
