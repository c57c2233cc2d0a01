"""Everything that reads a line, a document or a request of somebody."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["TEXTS", "Text"]

_LENGTHS = {"chr1": 50_000, "chr2": 30_000, "HLA-A*01:01": 5_000, "1": 0}


class Text(NamedTuple):
    """A reader of short input, and examples of what it reads."""

    read: Callable[[str, Path], object]
    examples: tuple[str, ...]


def _region(text: str, folder: Path) -> None:
    from lake.formats.region import merge_regions, parse_region

    assert merge_regions([parse_region(text, _LENGTHS)], _LENGTHS).canonical is not None


def _targets(text: str, folder: Path) -> None:
    from lake.formats.region import merge_regions, read_targets

    merge_regions(read_targets(text.split("\n"), _LENGTHS), _LENGTHS)


def _byte_ranges(text: str, folder: Path) -> None:
    from lake.formats.ordinals import is_byte_range, merge_runs, parse_byte_ranges, parse_ordinals

    if is_byte_range(text):
        parse_byte_ranges(text, text, 1000)
    else:
        merge_runs(parse_ordinals(text, text), 1000)


def _spectra(text: str, folder: Path) -> None:
    from lake.formats.spectra.query import parse_query

    str(parse_query([text]))


def _array_terms(text: str, folder: Path) -> None:
    from lake.formats.arrays.array_file import query_text
    from lake.formats.arrays.query import parse_region_terms

    parse_region_terms(text)
    query_text([text])


def _condition(text: str, folder: Path) -> None:
    from lake.formats.arrays.conditions import Column, evaluate

    columns: dict[str, Column] = {}
    evaluate(text, 3, columns.get)


def _ref(text: str, folder: Path) -> None:
    from lake.journal.refs import parse

    parse(text)


def _path(text: str, folder: Path) -> None:
    from lake.paths import clean_path, encode_name, parse_target

    target = parse_target(text)
    assert clean_path(target.path) == target.path
    assert parse_target(encode_name(target.path)).path == target.path


def _usi(text: str, folder: Path) -> None:
    from lake.usi import is_usi, parse_usi

    is_usi(text)
    parse_usi(text)


def _query_string(text: str, folder: Path) -> None:
    from lake.htsget.conditions import parse_conditions
    from lake.htsget.identifiers import READS, VARIATIONS
    from lake.htsget.selections import parse_parameters

    for family in (READS, VARIATIONS):
        _refused(lambda family=family: parse_parameters(text.encode(errors="surrogateescape"), family))  # type: ignore[misc]
    _refused(lambda: parse_conditions(text.encode(errors="surrogateescape")))


def _ticket_body(text: str, folder: Path) -> None:
    from lake.htsget.conditions import parse_spectra_body
    from lake.htsget.identifiers import READS
    from lake.htsget.selections import parse_body

    body = text.encode(errors="surrogateescape")
    _refused(lambda: parse_body(body, READS, 100))
    _refused(lambda: parse_spectra_body(body, 100))


def _headers(text: str, folder: Path) -> None:
    from lake.htsget.media_types import accepted
    from lake.htsget.ranges import condition_of, parse_ranges
    from lake.htsget.representations import disposition
    from lake.htsget.routes.tus import _metadata
    from lake.htsget.uploads import expected_digests

    ranges = parse_ranges(text, 1000)
    assert ranges is None or all(0 <= each.start < each.stop <= 1000 for each in ranges)
    accepted(text, ["text/plain", "application/json"])
    condition_of({"if-match": text, "if-none-match": text}, '"x"')
    _refused(lambda: expected_digests({"repr-digest": text}))
    _refused(lambda: expected_digests({"content-md5": text}))
    _refused(lambda: _metadata(text))
    if text.isprintable():
        assert not {"\r", "\n", "\0"} & set(disposition(text))


def _disposition(text: str, folder: Path) -> None:
    from lake.htsget.representations import disposition

    header = disposition(text)
    header.encode("latin-1")
    assert not any(ord(character) < 32 or ord(character) == 127 for character in header), header


def _signed(text: str, folder: Path) -> None:
    from lake.htsget.signing import Signer

    # The server replaces what is not UTF-8 in a path before any route sees it.
    _refused(lambda: Signer(b"k" * 32).verify(text.encode(errors="replace").decode()))


def _claims(text: str, folder: Path) -> None:
    from lake.htsget.identifiers import parse_identifier
    from lake.htsget.sequences import read_identifier
    from lake.htsget.subsequences import Unreadable, Unsatisfiable, by_positions, by_range

    _refused(lambda: parse_identifier(text))
    read_identifier(text)
    with contextlib.suppress(Unreadable, Unsatisfiable):
        by_positions(text, text, 1000)
    with contextlib.suppress(Unreadable, Unsatisfiable):
        by_range(text, 1000)


def _tokens(text: str, folder: Path) -> None:
    from lake.grants import grants_of, region_grant
    from lake.tokens import is_token

    is_token(text)
    region_grant(text)
    grants_of([{"verb": "read", "pattern": text, "regions": [text]}])


def _jwt(text: str, folder: Path) -> None:
    from lake.htsget.oidc import Issuer
    from lake.htsget.settings import Oidc

    keys = folder / "keys.json"
    keys.write_text('{"keys": []}')
    issuer = Issuer(Oidc("https://i.example", "a", str(keys)))
    _refused(lambda: issuer.principal(text))


def _key_set(text: str, folder: Path) -> None:
    from lake.htsget.oidc import _public_keys

    try:
        _public_keys(text.encode(errors="surrogateescape"))
    except ValueError:
        return


def _statement(text: str, folder: Path) -> None:
    import duckdb

    from lake.catalog.statements import check_query

    with duckdb.connect() as connection:
        check_query(connection, text)


def _document(name: str) -> Callable[[str, Path], Path]:
    def write(text: str, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text.encode(errors="surrogateescape"))
        return path

    return write


def _config(text: str, folder: Path) -> None:
    from lake.config import load_config

    _document("lake.toml")(text, folder)
    load_config(folder)


def _settings(text: str, folder: Path) -> None:
    from lake.htsget.configuration import load_settings

    load_settings(_document("server.toml")(text, folder), {})


def _crate(text: str, folder: Path) -> None:
    from lake.crates import looks_like_crate, read_crate

    path = _document("ro-crate-metadata.json")(text, folder)
    looks_like_crate(path)
    read_crate(path)


def _sheet(text: str, folder: Path) -> None:
    from lake.errors import LakeError
    from lake.sheet_files import read_sheet
    from lake.sheets import find_join

    for name in ("s.csv", "s.tsv", "s.jsonl"):
        try:
            sheet = read_sheet(_document(name)(text, folder))
            for column in range(len(sheet.columns)):
                sheet.attribute(column)
            find_join(sheet)
        except LakeError:
            continue


def _manifest(text: str, folder: Path) -> None:
    from lake.manifest import read_manifest

    read_manifest(_document("sums.txt")(text, folder))


def _header_text(text: str, folder: Path) -> None:
    from lake.formats.contig_names import declared_names
    from lake.formats.facts.headers import sam_facts, variant_facts
    from lake.formats.variants.vcf_dialect import header_contigs

    data = text.encode(errors="surrogateescape")
    sam_facts(data)
    variant_facts(data)
    header_contigs(data)
    declared_names(data)


def _refused(step: Callable[[], object]) -> object:
    """A refusal of the server is an answer too."""
    from lake.htsget.errors import Problem

    try:
        return step()
    except Problem:
        return None


TEXTS: Mapping[str, Text] = {
    "region": Text(_region, ("chr1:1-2,000", "{HLA-A*01:01}:1-2", "chr2", "*", ".", "chr1:5-", "chr1:-9", "{1}:7")),
    "targets": Text(_targets, ("chr1\t1\t20\nchr2\t5\t9\tname\n", "# x\ntrack a\nchr1 7 9\n")),
    "ordinals": Text(_byte_ranges, ("bytes=1-9,20-", "bytes=-5", "1-9,20-,-3", "bytes=0x1-2")),
    "spectra": Text(
        _spectra,
        (
            "rt=1.5-20min&ms_level=2&isolation=100.5-200",
            "chromatograms=all&rt=60-90s",
            "precursor_mz=500.25@0.02&charge=2,3&polarity=+",
            "id=controllerType=0 scan=3&index=1-9",
            "x=1-2&y=3&im=0.8-1.2&activation=HCD",
            "chromatograms=TIC",
        ),
    ),
    "arrays": Text(
        _array_terms, ("/g/matrix[1:9:2,...,-1]", "obs.cell_type == 'T' & obs.n > 5", "time=2020-01-01/2021", "/X[0]")
    ),
    "condition": Text(_condition, ("a == 'x' and b > 5", "not (c in ('x', \"y\")) or d != 1e5", "((a))")),
    "ref": Text(_ref, ("main", "v1~3", "main@{2026-11-20T14:30}", "main@{2 days ago}", "123", "feature/x~1~2")),
    "path": Text(_path, ("lake://@v1/runs/s1.bam#chr1:1-9", "a%23b/%2e%2e/c", "@main@{2026-01-01}/x", "a//./b", "%ff")),
    "usi": Text(_usi, ("mzspec:PXD000561:Adult_Frontalcortex:scan:17555:VLHPLEGAVVIIFK/2", "mzspec:a:b:index:1")),
    "query string": Text(
        _query_string,
        (
            "referenceName=chr1&start=1&end=20&format=BAM&fields=QNAME,FLAG&tags=&class=header",
            "ms_level=2&rt=1-2&format=MGF",
        ),
    ),
    "ticket body": Text(
        _ticket_body,
        (
            '{"format":"BAM","fields":["QNAME"],"regions":[{"referenceName":"chr1","start":1,"end":9}]}',
            '{"regions":[{"ms_level":2,"mz":[100.5,200]}],"class":"header","inline":"never"}',
            '{"a":' + "[" * 50 + "]" * 50 + "}",
        ),
    ),
    "headers": Text(
        _headers,
        ("bytes=0-9,-5,20-", 'W/"x", "y"', "text/*;q=0.3, */*;q=0", "sha-256=:AAAA:", "path YS9i,ref bWFpbg==", "*"),
    ),
    "disposition": Text(_disposition, ('a"b\r\nX: y.bam', "ü/é\0.bam", "a\\b;c=d", "\udcff", "𝒳")),
    "signed": Text(_signed, ("eyJrIjoiYiJ9.AAAAAAAAAAAAAAAAAAAAAA", "..", "ü.ü")),
    "identifiers": Text(
        _claims, ("b3:" + "0" * 64, "@v1/a", "ga4gh:SQ." + "A" * 32, "md5:" + "a" * 32, "bytes=1-5", "7")
    ),
    "tokens": Text(_tokens, ("lake_abc", "study1/*=chr17:1-1000,chrM", "a=b=c")),
    "jwt": Text(_jwt, ("eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJhIn0.AAAA", "a.b.c", "e30.e30.")),
    "key set": Text(_key_set, ('{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","use":"sig"}]}', '{"keys":[]}')),
    "statement": Text(
        _statement,
        (
            "SELECT * FROM files WHERE path LIKE 'a%'",
            "EXPLAIN ANALYZE SELECT 1; ",
            "WITH a AS (SELECT 1) FROM a",
            "PIVOT x ON y",
        ),
    ),
    "lake.toml": Text(
        _config, ('format = 1\nid = "6f1c1f0e-0000-4000-8000-000000000000"\ncreated = "2026-11-20T00:00:00+00:00"\n',)
    ),
    "server.toml": Text(
        _settings,
        ('burst = 5\nrate = 1.5\ncors_origins = ["https://a"]\n[oidc]\nissuer = "x"\naudience = "y"\njwks = "z"\n',),
    ),
    "crate": Text(
        _crate,
        (
            '{"@context": "x", "@graph": [{"@id": "ro-crate-metadata.json", "about": {"@id": "./"}}, '
            '{"@id": "./", "@type": "Dataset", "hasPart": [{"@id": "a"}]}, {"@id": "a", "@type": ["File"]}]}',
        ),
    ),
    "sheet": Text(
        _sheet, ("path,age:int,ok\na.bam,5,true\nb.bam,,no\n", 'file\tx\n"a\nb"\t1\n', '{"path": "a", "x": [1]}\n')
    ),
    "manifest": Text(
        _manifest,
        ("d41d8cd98f00b204e9800998ecf8427e  a\n", "SHA256 (b) = " + "0" * 64 + "\n", "\\" + "0" * 32 + "  a\\nb\n"),
    ),
    "header text": Text(
        _header_text,
        (
            "@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:99\tM5:ab\tAN:1,one\n@RG\tID:a\tSM:s\n@PG\tID:x\n",
            '##fileformat=VCFv4.3\n##INFO=<ID=DP,Number=1,Description="a,b=\\"c\\"">\n##contig=<ID=1,length=5>\n#CHROM\tPOS\n',
        ),
    ),
}
