"""PROXI 0.1: single spectra of the lake by their Universal Spectrum Identifier (HUPO-PSI/proxi-schemas)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from lake.errors import InvalidInput, NotFound, Unsupported
from lake.htsget.access import Principal, PrincipalOf, Verb, refusal
from lake.htsget.errors import Problem
from lake.htsget.state import ServerOf
from lake.journal.values import Kind
from lake.lake import Lake
from lake.runs import Run, RunDesk
from lake.usi import find_run, parse_usi

__all__ = ["router"]

router = APIRouter(tags=["spectra"])

_POINTS = ("mzs", "intensities")


class Term(BaseModel):
    """A term of an ontology."""

    accession: str
    name: str
    value: str


class ProxiSpectrum(BaseModel):
    """A spectrum as PROXI gives it."""

    usi: str
    accession: str | None = None
    status: Literal["READABLE", "PEAK UNAVAILABLE"]
    mzs: list[float] | None = None
    intensities: list[float] | None = None
    interpretations: list[str] | None = None
    attributes: list[Term]


@router.get(
    "/proxi/v0.1/spectra",
    response_model=list[ProxiSpectrum],
    response_model_exclude_none=True,
    summary="A spectrum by its Universal Spectrum Identifier",
    operation_id="proxi_spectra",
)
async def get_spectra(
    server: ServerOf,
    principal: PrincipalOf,
    usi: Annotated[str, Query(max_length=4096, description="mzspec:COLLECTION:RUN:scan:NUMBER")],
    result_type: Annotated[
        Literal["compact", "full"], Query(alias="resultType", description="compact: without points")
    ] = "full",
) -> list[dict[str, Any]]:
    """A list of one. The run is the file of the lake whose name, without suffix, the USI has."""
    return [await server.run(_spectrum, server.lake, principal, usi, result_type == "full")]


def _spectrum(lake: Lake, principal: Principal, usi: str, full: bool) -> dict[str, Any]:
    try:
        named = parse_usi(usi)
    except InvalidInput as error:
        raise Problem(400, "InvalidInput", str(error)) from error
    except Unsupported as error:
        raise Problem(501, "NotImplemented", str(error)) from error
    if principal.anonymous and not principal.grants:
        raise refusal()
    # Files that somebody may not see, or not the whole of, are not there for them: else messages would tell of them.
    entries = {
        entry.path: entry
        for entry in lake.tree().walk("")
        if entry.kind == Kind.FILE and principal.may(Verb.READ, entry.path) and principal.regions(entry.path) is None
    }
    desk = RunDesk(lake.repo, lake.desk)
    try:
        path = find_run(named, entries)
        found = desk.spectrum(Run(entries[path].hex, path), named.kind, named.value)
    except NotFound as error:
        raise Problem(404, "NotFound", str(error)) from error
    made = found.named(usi, named.interpretation).as_proxi()
    return made if full else {name: value for name, value in made.items() if name not in _POINTS}
