"""Slices that are decoded agree with samtools and bcftools; those that cannot be given say so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysam
import pytest

import lake
from lake.decoding import decode
from lake.errors import FormatError, InvalidInput
from lake.formats.decode_options import FIELDS, DecodeOptions
from lake.segments import Slice, Stream

BAM = "na12878_chr20_21_unplaced.bam"
REGIONS = ["20:10000100-10000200", "21:10002000-10002200"]
VCF = "exome_189samples.vcf.gz"


def run(*command: str | Path, data: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    return shared_data / "genomics"


@pytest.fixture(scope="module")
def lk(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with lake.init(tmp_path_factory.mktemp("lake")) as made:
        files = [data / "bam" / name for name in (BAM, f"{BAM}.bai", "rnaseq_heart_slc25a3.bam", "unsorted.bam")]
        files += [data / "vcf" / VCF, data / "vcf" / "multi_contig_tbi_csi.vcf.gz", data / "bcf" / "multi_contig.bcf"]
        files += [
            data / "bcf" / "multi_contig.bcf.csi",
            data / "sam" / "index_test.sam",
            data / "vcf" / "sv_skbr3_bnd.vcf",
        ]
        files += [data / "cram" / "sv_shortread_v31.cram", data / "cram" / "celegans_multiref_v30.cram"]
        files += [data / "fasta" / name for name in ("ce.fa", "delly_200kb.fa")]
        files += [data / "tabix" / "skiplines_header.bed.gz"]
        assert not made.put(files).failed
        yield made


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"include_flags": 2}, ["-f", "2"]),
        ({"exclude_flags": 0x410}, ["-F", "0x410"]),
        ({"min_quality": 30, "include_flags": 1, "exclude_flags": 16}, ["-q", "30", "-f", "1", "-F", "16"]),
        ({"mates": True}, ["-P"]),
        ({"mates": True, "include_flags": 2, "min_quality": 30}, ["-P", "-f", "2", "-q", "30"]),
    ],
)
@pytest.mark.parametrize("form", ["BAM", "SAM"])
def test_filters_are_those_of_samtools(
    lk: lake.Lake, data: Path, options: dict[str, Any], arguments: list[str], form: str
) -> None:
    answer = lk.slice(BAM, REGIONS, format=form, **options)
    assert not answer.verbatim
    assert answer.size is None
    got = run("samtools", "view", "-", data=answer.to_bytes())
    assert got == run("samtools", "view", "-M", *arguments, data / "bam" / BAM, *REGIONS)
    assert got


def test_headers_stay_as_they_are(lk: lake.Lake, data: Path) -> None:
    header = run("samtools", "view", "-H", "--no-PG", data / "bam" / BAM)
    for form in ("BAM", "SAM", "CRAM"):
        answer = lk.slice(BAM, REGIONS, format=form, min_quality=1).to_bytes()
        assert run("samtools", "view", "-H", "--no-PG", "-", data=answer) == header


def test_what_a_cram_cannot_hold_is_lost_as_with_samtools(lk: lake.Lake, data: Path) -> None:
    answer = lk.slice(BAM, REGIONS, format="CRAM").to_bytes()
    assert answer[:6] == b"CRAM\3\0"
    command: list[str | Path] = [
        "samtools",
        "view",
        "-M",
        "-C",
        "--output-fmt-option",
        "no_ref=1",
        data / "bam" / BAM,
        *REGIONS,
    ]
    assert run("samtools", "view", "-", data=answer) == run("samtools", "view", "-", data=run(*command))


@pytest.mark.parametrize("name", ["sv_shortread_v31.cram", "celegans_multiref_v30.cram"])
@pytest.mark.parametrize("region", [None, 0])
def test_crams_find_their_references_in_the_lake(lk: lake.Lake, data: Path, name: str, region: int | None) -> None:
    fasta = data / "fasta" / ("ce.fa" if "celegans" in name else "delly_200kb.fa")
    contig = run("samtools", "head", data / "cram" / name).decode().split("SN:")[1].split()[0]
    regions = [contig] if region == 0 else []
    text = run("samtools", "view", "-T", fasta, data / "cram" / name, *regions)
    got = lk.slice(name, regions, format="SAM").to_bytes()
    assert b"".join(line for line in got.splitlines(keepends=True) if not line.startswith(b"@")) == text
    as_bam = lk.slice(name, regions, format="BAM").to_bytes()
    assert run("samtools", "view", "-", data=as_bam) == text
    version = (data / "cram" / name).read_bytes()[4:6]
    filtered = lk.slice(name, regions, min_quality=1).to_bytes()
    assert filtered[4:6] == version
    assert run("samtools", "view", "-c", "-", data=filtered) == run(
        "samtools", "view", "-c", "-q", "1", "-T", fasta, data / "cram" / name, *regions
    )


def _parsed(text: bytes) -> list[list[str]]:
    return [line.split("\t") for line in text.decode().splitlines() if not line.startswith("@")]


def test_fields_that_were_not_asked_for_are_missing(lk: lake.Lake, data: Path) -> None:
    whole = _parsed(run("samtools", "view", data / "bam" / BAM, REGIONS[0]))
    got = _parsed(lk.slice(BAM, REGIONS[0], fields=["QNAME", "FLAG", "POS", "QUAL"], format="SAM").to_bytes())
    assert len(got) == len(whole)
    for line, full in zip(got, whole, strict=True):
        # POS needs RNAME, QUAL needs SEQ: a record without them would not be valid.
        assert line[:4] == full[:4]
        assert line[4:9] == ["255", "*", "*", "0", "0"]
        assert line[9:] == full[9:]
    bare = _parsed(lk.slice(BAM, REGIONS[0], fields=["QNAME"], tags=[], format="SAM").to_bytes())
    assert {tuple(line[1:]) for line in bare} == {("0", "*", "0", "255", "*", "*", "0", "0", "*", "*")}


def test_tags_are_those_of_samtools(lk: lake.Lake, data: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tags": ["NM", "RG"]}, "--keep-tag"),
        ({"notags": ["NM", "RG"]}, "--remove-tag"),
    ]
    for options, argument in cases:
        got = lk.slice(BAM, REGIONS, **options).to_bytes()
        wanted = run("samtools", "view", "-M", argument, "NM,RG", data / "bam" / BAM, *REGIONS)
        assert run("samtools", "view", "-", data=got) == wanted


@pytest.mark.parametrize("regions", [[], ["1:1-2000000"]])
def test_samples_are_those_of_bcftools(lk: lake.Lake, data: Path, regions: list[str]) -> None:
    samples = run("bcftools", "query", "-l", data / "vcf" / VCF).decode().split()[3:0:-2]
    assert len(samples) == 2
    where = ["-r", *regions] if regions else []
    command: list[str | Path] = ["bcftools", "view", "-I", "-H", "-s", ",".join(samples), *where, data / "vcf" / VCF]
    for form in ("VCF", "VCFTEXT"):
        answer = lk.slice(VCF, regions, samples=samples, format=form).to_bytes()
        assert answer.startswith(b"\x1f\x8b") == (form == "VCF")
        assert run("bcftools", "query", "-l", "-", data=answer).decode().split() == samples
        assert run("bcftools", "view", "-H", "-", data=answer) == run(*command)


def test_numbers_of_a_vcf_are_not_written_anew(tmp_path: Path) -> None:
    """htslib holds QUAL in 32 bits: 430521 would come out as 430520, and 0.10 as 0.1."""
    text = "##fileformat=VCFv4.3\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n"
    record = "1\t5\t.\tA\tC\t430521.07\tPASS\tAF=0.10\tGT\t0|1\t1/1\n"
    (tmp_path / "x.vcf").write_text(text + record)
    with lake.init(tmp_path / "lake") as lk:
        lk.put(tmp_path / "x.vcf")
        got = lk.slice("x.vcf", "1", samples=["B"]).to_bytes()
        assert b"430521.07\tPASS\tAF=0.10\tGT\t1/1\n" in lk.slice("x.vcf", samples=["B"], format="VCFTEXT").to_bytes()
        assert got.startswith(b"\x1f\x8b")
        assert lk.slice("x.vcf", samples=[], format="VCFTEXT").to_bytes().endswith(b"AF=0.10\n")
        with pytest.raises(InvalidInput, match="no sample 'C': the file has A, B"):
            lk.slice("x.vcf", samples=["C"]).to_bytes()


def test_variants_change_their_format(lk: lake.Lake, data: Path) -> None:
    for name, folder in (("multi_contig_tbi_csi.vcf.gz", "vcf"), ("multi_contig.bcf", "bcf")):
        with pysam.VariantFile(str(data / folder / name)) as file:
            wanted = [str(record) for record in file]
        for form in ("VCF", "BCF", "VCFTEXT"):
            answer = lk.slice(name, format=form).to_bytes()
            got = run("bcftools", "view", "-H", "-", data=answer).decode()
            if form == "BCF" or folder == "bcf":
                assert got.splitlines(keepends=True) == wanted
            assert got.count("\n") == len(wanted)


def test_options_of_the_wrong_kind_are_refused(lk: lake.Lake) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        (BAM, {"samples": ["a"]}),
        (BAM, {"format": "VCF"}),
        (VCF, {"min_quality": 3}),
        (VCF, {"format": "SAM"}),
        ("skiplines_header.bed.gz", {"tags": ["NM"]}),
        ("skiplines_header.bed.gz", {"format": "BAM"}),
    ]
    for name, options in refused:
        with pytest.raises(InvalidInput):
            lk.slice(name, **options)
    impossible: list[dict[str, Any]] = [
        {"format": "bam"},
        {"fields": ("POSITION",)},
        {"tags": ("N",)},
        {"tags": ("NM",), "notags": ("NM",)},
        {"include_flags": -1},
        {"min_quality": 256},
        {"samples": ("a", "a")},
    ]
    for wrong in impossible:
        with pytest.raises(InvalidInput):
            DecodeOptions(**wrong)


def test_options_that_ask_for_nothing_leave_the_slice_verbatim(lk: lake.Lake) -> None:
    assert lk.slice(BAM, REGIONS, format="BAM").verbatim
    assert lk.slice("index_test.sam", format="SAM").verbatim
    assert lk.slice(BAM, REGIONS, fields=FIELDS).verbatim is False


def test_the_identity_tells_what_was_asked(lk: lake.Lake) -> None:
    asked = [lk.slice(BAM, REGIONS), *(lk.slice(BAM, REGIONS, min_quality=q) for q in (1, 2, 1))]
    assert len({answer.identity for answer in asked}) == 3


def _broken(whole: bytes, after: int, error: Exception | None) -> Slice:
    def some() -> Iterator[bytes]:
        yield whole[:after]
        if error is not None:
            raise error

    return Slice("x", (Stream(some),), "x", True, lambda _: b"")


@pytest.mark.parametrize("form", ["SAM", "BAM", "CRAM"])
def test_a_slice_that_breaks_off_is_an_error_not_a_short_answer(data: Path, form: str) -> None:
    whole = (data / "bam" / "rnaseq_heart_slc25a3.bam").read_bytes()
    options = DecodeOptions(format=form, min_quality=1)
    for after in (10, 30_000, len(whole) // 2):
        for error in (OSError("the disk is gone"), None):
            with pytest.raises((OSError, FormatError)):
                decode(_broken(whole, after, error), "BAM", options).to_bytes()
    # htslib takes the border of a block for the end of the file.
    at = whole.find(b"\x1f\x8b\x08\x04", len(whole) // 2)
    with pytest.raises(OSError, match="the disk is gone"):
        decode(_broken(whole, at, OSError("the disk is gone")), "BAM", options).to_bytes()


@pytest.mark.parametrize("name", ["edge/bitflip.bam", "edge/truncated_midfile.bam"])
def test_damaged_files_do_not_convert(data: Path, name: str) -> None:
    whole = (data / name).read_bytes()
    answer = Slice("x", (Stream(lambda: iter([whole])),), "x", True, lambda _: b"")
    with pytest.raises(FormatError):
        decode(answer, "BAM", DecodeOptions(format="SAM")).to_bytes()


@pytest.mark.parametrize("form", ["SAM", "CRAM", "BAM"])
def test_reads_without_any_contig(data: Path, tmp_path: Path, form: str) -> None:
    name = "ubam_illumina_queryname.bam"
    with lake.init(tmp_path / "lake") as lk:
        lk.put(data / "bam" / name)
        answer = lk.slice(name, format=form, notags=["zz"]).to_bytes()
        text = run("samtools", "view", "-", data=answer).splitlines()
        assert len(text) == 5000
        assert [line.split(b"\t")[:11] for line in text] == [
            line.split(b"\t")[:11] for line in run("samtools", "view", data / "bam" / name).splitlines()
        ]


def test_whoever_stops_reading_leaves_nothing_running(lk: lake.Lake) -> None:
    import threading

    pieces = lk.slice(BAM, format="SAM").iter_bytes()
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("regionlake-feed", "regionlake-dec"))
    ]


def test_the_command_line(lk: lake.Lake, data: Path, tmp_path: Path) -> None:
    from lake.cli import main

    out = tmp_path / "x.sam"
    arguments = [
        "-C",
        str(lk.root),
        "slice",
        BAM,
        *REGIONS,
        "-f",
        "0x2",
        "-F",
        "16",
        "-q",
        "20",
        "--output-format",
        "SAM",
    ]
    assert main([*arguments, "--tags", "NM", "-o", str(out)]) == 0
    wanted = run("samtools", "view", "-M", "-f2", "-F16", "-q20", "--keep-tag", "NM", data / "bam" / BAM, *REGIONS)
    assert b"".join(x for x in out.read_bytes().splitlines(keepends=True) if x[:1] != b"@") == wanted
