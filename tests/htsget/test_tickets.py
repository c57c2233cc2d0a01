"""Tickets: outlines against exact slices, what signed URLs say, who may read which regions, and when to ask again."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import httpx
import pysam
import pytest

from lake.digest import Digest
from lake.formats.decode_options import DecodeOptions
from lake.formats.outline import Gap, PartedFile
from lake.formats.region import UNBOUNDED, Interval, Region, Selection, merge_regions
from lake.grants import Grant, Verb
from lake.htsget.caching import ByteCache
from lake.htsget.computed import Piece, claims_of, open_parted, piece_of
from lake.htsget.errors import Problem
from lake.htsget.identifiers import READS, VARIATIONS, parse_identifier
from lake.htsget.selections import Place, parse_parameters
from lake.lake import Lake
from lake.segments import Literal, Segment, Span
from tests.formats.bam_maker import PADDING, Read, blocked, made_bam
from tests.htsget.conftest import Live
from tests.htsget.ticket_reader import ask, error_of, samtools_text
from tests.lake.samples import make_bam, sam_text

CONTIGS = [("a", 60_000), ("b", 40_000)]


def stored_file(lk: Lake, seed: int, sizes: list[int]) -> PartedFile:
    """A BAM in a lake, with records of all lengths over the borders of its blocks."""
    chance = random.Random(seed)
    reads = [
        Read(
            tid, chance.randrange(20_000), chance.choice(["30M", "5M4000N5M", "400M"]), tags=PADDING, name=f"r{number}"
        )
        for number, tid in enumerate(chance.choices([0, 1], k=1500))
    ]
    reads.sort(key=lambda read: (read.tid, read.pos))
    reads += [Read(-1, -1, flag=4, tags=PADDING, name=f"u{number}") for number in range(300)]
    path = lk.root.parent / f"{seed}.bam"
    path.write_bytes(blocked(made_bam(CONTIGS, reads, "@HD\tVN:1.6\tSO:coordinate\n").inflated, sizes))
    lk.put(str(path))
    digest = lk.stat(path.name).digest
    assert digest is not None
    return open_parted(lk, digest)[0]


def inflated(lk: Lake, segments: tuple[Segment, ...]) -> bytes:
    pieces = []
    for segment in segments:
        if isinstance(segment, Span):
            pieces.append(lk.repo.shelf.reader(segment.source).read(segment.offset, segment.length))
        else:
            assert isinstance(segment, Literal)
            pieces.append(segment.data)
    return gzip.decompress(b"".join(pieces)) if pieces else b""


def records_of(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size = 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at : at + size])
        at += size
    assert at == len(data)
    return found


def selections(seed: int) -> list[Selection]:
    chance = random.Random(seed)
    found = [merge_regions([Region("a")], dict(CONTIGS)), merge_regions([Region("b"), Region("*")], dict(CONTIGS))]
    for count, width in ((1, 1), (1, 9_000), (3, 500), (40, 50), (400, 3), (900, 1)):
        regions = [Region(chance.choice("ab"), start := chance.randrange(21_000), start + width) for _ in range(count)]
        regions += [Region("*")] * chance.randrange(2)
        found.append(merge_regions(regions, dict(CONTIGS)))
    return found


@pytest.mark.parametrize(("seed", "sizes"), [(1, [65_000]), (2, [700]), (3, [30_000, 10, 5_000])])
def test_an_outline_filled_in_is_the_exact_slice(lk: Lake, seed: int, sizes: list[int]) -> None:
    file = stored_file(lk, seed, sizes)
    for selection in selections(seed):
        outline = file.outline(selection)
        assert outline is not None
        expected = inflated(lk, file.body(selection))
        parts = [
            file.body(part.selection, part.first, part.stop) if isinstance(part, Gap) else (part,) for part in outline
        ]
        assert b"".join(inflated(lk, part) for part in parts) == expected
        windows = [file.body(part.selection, part.first, part.stop) for part in file.windows(selection)]
        assert b"".join(inflated(lk, part) for part in windows) == expected
        covered = records_of(inflated(lk, file.cover(selection)))
        assert set(records_of(expected)) <= set(covered)
        assert len(covered) == len(set(covered))


def test_an_outline_has_runs_of_whole_blocks(lk: Lake) -> None:
    file = stored_file(lk, 4, [60_000])
    outline = file.outline(merge_regions([Region("a")], dict(CONTIGS)))
    assert outline is not None
    assert [type(part).__name__ for part in outline] in (["Gap"], ["Gap", "Span", "Gap"])


@pytest.mark.parametrize(
    "piece",
    [
        Piece(Digest("a" * 64), Selection((), everything=True)),
        Piece(Digest("a" * 64), Selection(())),
        Piece(Digest("a" * 64), Selection((Interval(0, 5, UNBOUNDED),), unplaced=True), first=7, stop=1 << 60),
        Piece(Digest("a" * 64), Selection(tuple(Interval(2, n * 10, n * 10 + 3) for n in range(500))), exact=False),
        Piece(Digest("a" * 64), Selection(()), header=True, options=DecodeOptions(format="CRAM")),
        Piece(
            Digest("a" * 64),
            Selection((Interval(1, 2, 3),)),
            options=DecodeOptions(fields=("POS", "FLAG"), tags=(), notags=("NM",), format="BAM"),
        ),
    ],
)
def test_a_signed_url_says_all_of_a_part(piece: Piece) -> None:
    assert piece_of(claims_of(piece)) == piece
    assert piece_of({**claims_of(piece), "k": "else"}) is None


@pytest.mark.parametrize("text", ["../a", "a/../../b", "a\0b", "x" * 5000, "b3:12", "@/a", "b3:" + "g" * 64])
def test_ids_that_no_file_can_have(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_identifier(text)
    assert (caught.value.status, caught.value.kind) == (400, "InvalidInput")


def test_parameters_are_decoded_as_browsers_encode_them() -> None:
    asked = parse_parameters(b"referenceName=HLA-A%2A01%3A01&start=5&what=a+b&&format=bam", READS)
    assert asked.places == (Place("HLA-A*01:01", 5, None),)
    assert parse_parameters(b"", VARIATIONS).format == "VCF"
    with pytest.raises(Problem):
        parse_parameters(b"&".join([b"a=1"] * 2_000), READS)


def test_a_cache_holds_the_last_used_up_to_its_bytes() -> None:
    cache: ByteCache[str] = ByteCache(1_600)
    for number in range(40):
        cache.put(number, str(number), 100)
    assert [number for number in range(40) if cache.get(number)] == list(range(24, 40))
    cache.put("large", "x", 101)
    assert cache.get("large") is None


# -- who may read what ------------------------------------------------------------------------------------------------
def test_h11_a_token_for_some_regions_opens_these_alone(lk: Lake, live: Live, tmp_path: Path) -> None:
    bam = make_bam(tmp_path / "s1.bam", index="bai")
    lk.put([str(bam), f"{bam}.bai"], "study/")
    lk.put(str(bam), "other/")
    grant = Grant(Verb.READ, "study/*", ("chr1:1-20000", "chr2"))
    headers = {"Authorization": f"Bearer {lk.tokens.create([grant]).text}"}
    base = live(lk, open=False)
    with httpx.Client(base_url=base, headers=headers, trust_env=False) as client:
        path = "/reads/study/s1.bam"
        for name, start, end in (("chr1", 0, 20_000), ("chr1", 500, 700), ("chr2", 0, 4_000_000_000)):
            for mode in ("auto", "none"):
                got = ask(client, path, referenceName=name, start=start, end=end, inline=mode, exact="false")
                assert samtools_text(got.data) == sam_text(bam, f"{name}:{start + 1}-{end}")
        assert samtools_text(ask(client, path, referenceName="chr2", fields="POS").data)
        assert ask(client, path, class_="header").classes == ["header"]
        forbidden: tuple[dict[str, str], ...] = (
            {},
            {"referenceName": "*"},
            {"referenceName": "chr1"},
            {"referenceName": "chr1", "start": "19999", "end": "20001"},
            {"referenceName": "HLA-A*01:01"},
        )
        for parameters in forbidden:
            assert error_of(client.get(path, params=parameters)) == (403, "PermissionDenied")
        regions = [{"referenceName": "chr2"}, {"referenceName": "chr1", "start": 30_000}]
        assert error_of(client.post(path, json={"regions": regions})) == (403, "PermissionDenied")


def test_nothing_tells_what_may_not_be_seen_from_what_is_not_there(lk: Lake, live: Live, tmp_path: Path) -> None:
    bam = make_bam(tmp_path / "s1.bam")
    lk.put(str(bam), "hidden/")
    digest = lk.stat("hidden/s1.bam").digest
    token = lk.tokens.create([Grant(Verb.READ, "study/*")]).text
    base = live(lk, open=False)
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        there, not_there = client.get("/reads/hidden/s1.bam"), client.get("/reads/hidden/s2.bam")
        assert error_of(there) == error_of(not_there) == (404, "NotFound")
        assert there.content == not_there.content == client.get("/reads/study/s1.bam").content
        assert client.get("/reads/hidden/s1").content == there.content
        assert client.get(f"/reads/b3:{digest}").content == client.get(f"/reads/b3:{'0' * 64}").content
    for path in ("/reads/hidden/s1.bam", "/reads/hidden/s2.bam"):
        assert error_of(httpx.get(base + path, trust_env=False)) == (401, "InvalidAuthentication")


def test_a_finished_ticket_is_not_given_to_whoever_may_not_have_it(lk: Lake, live: Live, tmp_path: Path) -> None:
    bam = make_bam(tmp_path / "s1.bam")
    lk.put(str(bam), "study/")
    every = lk.tokens.create([Grant(Verb.READ)]).text
    some = lk.tokens.create([Grant(Verb.READ, "*", ("chr2",))]).text
    base = live(lk, open=False)
    for token, status in ((every, 200), (some, 403), (every, 200)):
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{base}/reads/study/s1.bam", headers=headers, trust_env=False).status_code == status


# -- what changes -----------------------------------------------------------------------------------------------------
def test_a_new_version_of_a_file_has_a_new_ticket(lk: Lake, live: Live, tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        make_bam(tmp_path / str(seed) / "a.bam", seed=seed)
    base = live(lk)
    with httpx.Client(base_url=base, trust_env=False) as client:
        for seed in (1, 2):
            lk.put(str(tmp_path / str(seed) / "a.bam"))
            got = ask(client, "/reads/a.bam", referenceName="chr1")
            assert samtools_text(got.data) == sam_text(indexed(tmp_path / str(seed) / "a.bam"), "chr1")


def indexed(path: Path) -> Path:
    if not path.with_name(path.name + ".bai").exists():
        pysam.index(str(path))
    return path


def test_a_file_that_no_index_can_be_made_of_is_read_through(lk: Lake, live: Live, tmp_path: Path) -> None:
    """Records out of order: what is asked for is found all the same, and comes as one part."""
    reads = [Read(tid, pos, "10M", name=f"r{pos}") for tid, pos in ((1, 5), (0, 900), (0, 20), (1, 2), (0, 905))]
    (tmp_path / "u.bam").write_bytes(blocked(made_bam(CONTIGS, reads).inflated, [100]))
    lk.put(str(tmp_path / "u.bam"))
    with httpx.Client(base_url=live(lk), trust_env=False) as client:
        for mode in ("auto", "none"):
            got = samtools_text(ask(client, "/reads/u.bam", referenceName="a", start=900, inline=mode).data)
            assert [line.split("\t")[0] for line in got.splitlines()] == ["r900", "r905"]


def test_the_whole_of_a_file_has_its_md5_where_that_is_kept(lk: Lake, live: Live, tmp_path: Path) -> None:
    # htslib begins the first record in a block of its own: the file's own bytes can be given.
    lk.put(str(make_bam(tmp_path / "s.bam", reads=9_000)), checksums=True)
    with httpx.Client(base_url=live(lk), trust_env=False) as client:
        answer = ask(client, "/reads/s.bam")
        assert answer.ticket["md5"] == lk.stat("s.bam").checksums["md5"]
        assert answer.remote


def test_suffixes_are_tried_and_the_one_in_the_wanted_format_first(lk: Lake, live: Live, tmp_path: Path) -> None:
    bam = make_bam(tmp_path / "s.bam")
    pysam.view("-C", "-o", str(tmp_path / "s.cram"), "--output-fmt-option", "no_ref=1", str(bam), catch_stdout=False)
    lk.put([str(bam), str(tmp_path / "s.cram")])
    with httpx.Client(base_url=live(lk), trust_env=False) as client:
        for form, name in (("BAM", "s.bam"), ("CRAM", "s.cram")):
            stored = (tmp_path / name).read_bytes()
            answer = ask(client, "/reads/s", format=form)
            assert answer.data == stored if form == "CRAM" else samtools_text(answer.data) == samtools_text(stored)
