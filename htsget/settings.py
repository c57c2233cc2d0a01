"""What a server is told when it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from lake.errors import InvalidInput
from lake.grants import Grant

__all__ = ["Oidc", "Settings"]


_ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""A shared key would let whoever can check tokens make them, too."""


_BASE_URL = re.compile(
    r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/(?:[\w.~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*)?",
    re.ASCII | re.IGNORECASE,
)
"""RFC 3986 without user, query and fragment: it stands before the paths of URLs."""


@dataclass(frozen=True)
class Oidc:
    """Whose signed tokens (JWT) are believed, and what they let do."""

    issuer: str
    audience: str
    jwks: str
    """URL or file of the issuer's keys (RFC 7517)."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    claim: str = "groups"
    """The claim that names groups: a string, a space-separated string or a list; dots go into objects."""
    grants: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    """What a group may do; ``*`` is everybody whose token is valid."""

    def __post_init__(self) -> None:
        if wrong := sorted(set(self.algorithms) - _ASYMMETRIC) or not self.algorithms:
            raise InvalidInput(f"tokens of an issuer are signed with one of {', '.join(sorted(_ASYMMETRIC))}: {wrong}")


@dataclass(frozen=True)
class Settings:
    root: Path | None = None
    """The lake; None finds it as `lake.open` does."""
    ref: str = "main"
    """What a path without ``@ref/`` is read at."""
    base_url: str | None = None
    """Public URL in front of every path of the server; None: as the request's ``Host`` says."""
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public: bool = False
    """Anybody may read everything; nobody may write."""
    open: bool = True
    """Nobody has to say who they are, and everything that the server offers is allowed: for one's own machine."""
    sql: bool = False
    """Whether queries are answered."""
    sql_seconds: float = 30.0
    """How long a query may take, its answer included."""
    sql_memory: str = "1GB"
    sql_threads: int = 2
    sql_queries: int = 4
    """Queries at a time in one worker."""
    sql_bytes: int = 256 << 20
    """Bytes of an answer."""
    upload: bool = True
    inline_bytes: int = 65_536
    """Made bytes of a ticket up to this size are put into it; bigger ones get a URL."""
    url_seconds: int = 3600
    """How long a signed URL is good for."""
    secret: bytes | None = None
    """Key of the signatures; None: ``server.key`` in the lake, made at first use."""
    cors_origins: tuple[str, ...] | None = None
    """Origins of web pages that may read answers; None: any, on an open server those of this machine alone."""
    oidc: Oidc | None = None
    max_body: int = 16 << 20
    """Bytes of a request's body, uploads apart."""
    max_upload: int | None = None
    """Bytes of an uploaded file; None: no limit but the disk's."""
    max_regions: int = 10_000
    """Regions of one request."""
    max_requests: int = 1_000
    """Requests under way in one worker; further ones are told to come back."""
    rate: float | None = None
    """Requests a second of one principal or address; None: no limit."""
    burst: int = 100
    """Requests that may come at once before the rate counts."""
    threads: int = 16
    """Blocking calls at a time in one worker."""
    sendfile: Literal["X-Accel-Redirect", "X-Sendfile"] | None = None
    """The header that lets a proxy in front send an object's file itself."""
    sendfile_prefix: str = ""
    """What stands before the object's place in that header."""

    def __post_init__(self) -> None:
        if self.public and self.open:
            object.__setattr__(self, "open", False)
        if self.public and self.upload:
            object.__setattr__(self, "upload", False)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidInput("TLS needs a certificate and its key: give both files")
        counts = ("workers", "url_seconds", "max_body", "max_regions", "max_requests", "burst", "threads")
        for name in (*counts, "sql_threads", "sql_queries", "sql_bytes"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} has to be at least 1")
        if not 0 <= self.port < 1 << 16:
            raise InvalidInput(f"{self.port} is no port")
        if self.rate is not None and self.rate <= 0:
            raise InvalidInput("rate has to be above 0")
        if self.base_url is not None and not _BASE_URL.fullmatch(self.base_url):
            raise InvalidInput(f"the base URL {self.base_url!r} is none: write https://host/prefix, percent-encoded")

    @classmethod
    def of(cls, settings: Settings | Mapping[str, Any] | None) -> Settings:
        """
        Raises:
            InvalidInput: an unknown name.
        """
        if isinstance(settings, Settings):
            return settings
        given = dict(settings or {})
        if unknown := given.keys() - {each.name for each in fields(cls)}:
            raise InvalidInput(f"no such setting: {', '.join(sorted(unknown))}")
        for name in ("root", "tls_cert", "tls_key"):
            if given.get(name) is not None:
                given[name] = Path(given[name])
        return cls(**given)
