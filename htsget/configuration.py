"""``server.toml``: the settings of a server in a file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lake.errors import InvalidInput, Unreadable
from lake.grants import grants_of
from lake.htsget.settings import Oidc, Settings

__all__ = ["load_settings"]

_SECRETS = ("secret", "root", "open")
"""Settings that are no matter of a file: they are made, or decided by the command line."""


def load_settings(path: Path | None, given: Mapping[str, Any]) -> Settings:
    """The settings of a file, under those given already.

    Raises:
        Unreadable, InvalidInput: the file cannot be read, or says something that cannot be used.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Unreadable(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from error
    try:
        if refused := [name for name in _SECRETS if name in table]:
            raise InvalidInput(f"{', '.join(refused)}: not a setting for a file")
        issuer = table.pop("oidc", None)
        if issuer is not None:
            table["oidc"] = _oidc(issuer)
        if isinstance(table.get("cors_origins"), list):
            table["cors_origins"] = tuple(table["cors_origins"])
        return Settings.of({**table, **given})
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}" if path is not None else str(error)) from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(f"{path}: a setting is missing, or of another type than it should be ({error})") from error


def _oidc(table: Mapping[str, Any]) -> Oidc:
    named = dict(table)
    named["grants"] = {group: grants_of(grants) for group, grants in named.get("grants", {}).items()}
    if "algorithms" in named:
        named["algorithms"] = tuple(named["algorithms"])
    return Oidc(**named)
