"""HTTP surfaces of a lake: ``lake.htsget.create_app(settings)`` is the server as an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "lake.htsget":  # pragma: no cover
    raise ImportError("import lake.htsget, not htsget")

if TYPE_CHECKING:
    from lake.htsget.app import create_app
    from lake.htsget.settings import Settings

__all__ = ["Settings", "create_app"]

_EXTRA = {"fastapi", "starlette", "uvicorn", "jwt", "prometheus_client"}


def __getattr__(name: str) -> Any:
    """The server's dependencies are needed, and loaded, by who makes one."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from lake.errors import Unsupported

    try:
        return getattr(import_module(f"{__name__}.{'app' if name == 'create_app' else 'settings'}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise Unsupported(f"a server needs {error.name}: pip install 'regionlake[server]'") from error
