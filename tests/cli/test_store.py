"""``init``, ``put``, ``get``, ``cat``, ``slice`` and ``index``."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from lake.lake import Lake
from tests.cli.conftest import Done, Run
from tests.lake.samples import branch_files, flip, local_tree, make_tree, object_file, sam_text

REGION = "chr1:10,001-20,000"


class TestInit:
    def test_makes_a_lake(self, process: Run, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        process("init", cwd=tmp_path / "here").works()
        process("-C", "there", "init", cwd=tmp_path).works()
        for name in ("here", "there"):
            Lake.open_at(tmp_path / name).close()

    def test_only_once(self, run: Run, process: Run, root: Path) -> None:
        assert "is a lake already" in process("init").fails()
        assert "one lake" in run("init", "elsewhere").fails()
        assert not (root / "elsewhere").exists()


class TestPut:
    def test_says_what_it_did(self, run: Run, files: Path) -> None:
        assert run("put", files / "a.txt", files / "table.csv", "x/").works().lines == [
            "x/a.txt  text  1 B  stored",
            "x/table.csv  CSV  8 B  stored",
            "2 files, 9 B: commit 1",
        ]
        assert run("put", files / "a.txt", "y").works().lines == [
            "y  text  1 B  known already, no second copy",
            "1 files, 1 B, 1 of them known already: commit 2",
        ]
        assert run("put", files / "a.txt").works().lines[0].startswith("a.txt ")

    def test_json(self, run: Run, files: Path) -> None:
        answer = run("put", f"{files}/*.txt", "x/", "--json").works().json
        assert answer["commit"] == 1
        assert [item["path"] for item in answer["items"]] == ["x/a.txt", "x/b.txt"]
        assert answer["items"][0].keys() >= {"digest", "size", "format", "chunks", "new", "warnings", "error"}

    def test_many_files_are_counted(self, run: Run, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "many", {f"{n}.txt": str(n) for n in range(30)})
        assert run("put", folder, "x").works().lines == ["30 files, 50 B: commit 1"]
        assert len(run("put", "-v", folder, "y").works().lines) == 31

    def test_one_of_many_cannot_be_read(self, run: Run, root: Path, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "many", {f"{n:02}.txt": str(n) for n in range(99)})
        (folder / "loop\nline").symlink_to("loop\nline")
        done = run("put", folder, "x", "--json")
        assert done.status == 1
        assert done.err.startswith("lake: error: ")
        assert done.err.count("\n") == 1
        assert "symbolic links" in done.err
        assert sum(item["error"] is None for item in done.json["items"]) == 99
        with Lake.open_at(root) as lk:
            assert len(lk.ls("x")) == 99
        assert "nothing was stored" in run("put", folder, "y", "--all-or-nothing").fails()
        assert "y" not in run("ls").text

    def test_names_that_are_no_text(self, run: Run, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "odd", {"good": "1"})
        with open(os.fsencode(folder) + b"/bad\xff", "wb"):
            pass
        done = run("put", folder, "x", "--json")
        assert done.status == 1
        assert [item["error"] is None for item in done.json["items"]].count(True) == 1
        assert "UTF-8" in done.err

    def test_standard_input(self, run: Run, root: Path) -> None:
        run("put", "-", "x/table.csv", stdin=b"a,b\n1,2\n").works()
        assert run("cat", "x/table.csv").works().out == b"a,b\n1,2\n"
        assert "name of a file" in run("put", "-", "x/", stdin=b"1").fails()

    def test_attributes_have_types(self, run: Run, files: Path) -> None:
        given = [
            "n=3",
            "x=1.50",
            "s=007",
            "e=1E5",
            "b=true",
            "t=a=b",
            "empty=",
            "id:str=7",
            "l:json=[1,null]",
            "f:float=2",
        ]
        run("put", files / "a.txt", "x", *(part for pair in given for part in ("--meta", pair))).works()
        assert run("meta", "get", "x", "--json").works().json == {
            "n": 3,
            "x": 1.5,
            "s": "007",
            "e": "1E5",
            "b": True,
            "t": "a=b",
            "empty": "",
            "id": "7",
            "l": [1, None],
            "f": 2.0,
        }
        for wrong in ("novalue", "=x", "n:int=x", "b:bool=maybe", "j:json={", "f:float=nan"):
            run("put", files / "a.txt", "y", "--meta", wrong).fails()
        assert "y" not in run("ls").lines

    def test_warnings_are_lines_too(self, run: Run, tmp_path: Path) -> None:
        make_tree(tmp_path, {"reads.bam": "a,b\n1,2\n3,4\n"})
        done = run("put", tmp_path / "reads.bam", "x/")
        assert done.status == 0
        assert re.fullmatch(r"lake: warning: x/reads\.bam: named \.bam .*\n", done.err)
        assert "strict" in run("put", tmp_path / "reads.bam", "y/", "--strict").fails()

    def test_options(self, run: Run, root: Path, tmp_path: Path, files: Path, bams: Path) -> None:
        run("put", "--move", files / "a.txt", "moved").works()
        assert not (files / "a.txt").exists()
        run("put", "--reflink", files / "b.txt", "linked").works()
        run("put", "--no-index", bams / "s2.bam", "s2.bam", "-m", "a message").works()
        assert run("log", "-n", "1", "--json").works().json[0]["message"] == "a message"
        run("put", "--checksums", files / "d", "d").works()
        found = run("stat", "d/c.txt", "--json").works().json[0]
        assert found["checksums"]["md5"] == "9df62e693988eb4e1e1444ece0578579"
        done = subprocess.run(["sha256sum", "b.txt"], cwd=files, capture_output=True, check=True)
        (files / "SUMS").write_bytes(done.stdout)
        run("put", files / "b.txt", "checked", "--manifest", files / "SUMS").works()
        (files / "b.txt").write_text("other")
        assert "checksum" in run("put", files / "b.txt", "wrong", "--manifest", files / "SUMS").fails()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("nothing", "x"), "no such file"),
            (("*.nothing", "x"), "no such file"),
            (("a.txt", "../x"), "'..'"),
            (("a.txt", "@v9/x"), "v9"),
            (("a.txt", "@1/x"), "not a branch"),
            (("a.txt", "b.txt", "file"), "is a file"),
        ],
    )
    def test_bad_input(
        self, run: Run, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
    ) -> None:
        monkeypatch.chdir(files)
        run("put", "a.txt", "file").works()
        assert message in run("put", *arguments).fails()
        assert run("ls", "-R").lines == ["file"]

    def test_both_methods_are_wrong_usage(self, run: Run) -> None:
        with pytest.raises(SystemExit) as caught:
            run("put", "--move", "--reflink", "x", "y")
        assert caught.value.code == 2


class TestGet:
    def test_copies_out(self, run: Run, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run("put", f"{files}/.", "in").works()
        (tmp_path / "out").mkdir()
        monkeypatch.chdir(tmp_path / "out")
        run("get", "in/a.txt").works()
        run("get", "in/*.txt", "in/d", "several").works()
        answer = run("get", "in/d", "json/", "--json").works().json
        assert answer == ["json/c.txt", "json/e/f.txt"]
        assert local_tree(tmp_path / "out") == {
            "a.txt": b"a",
            "several/a.txt": b"a",
            "several/b.txt": b"bb",
            "several/d/c.txt": b"ccc",
            "several/d/e/f.txt": b"f",
            "json/c.txt": b"ccc",
            "json/e/f.txt": b"f",
        }
        assert "is not a directory" in run("get", "in/a.txt", "in/b.txt", "a.txt").fails()
        assert "did you mean in/a.txt" in run("get", "in/a.tx", ".").fails()

    @pytest.mark.parametrize("link", ["hard", "sym"])
    def test_links(self, run: Run, root: Path, files: Path, tmp_path: Path, link: str) -> None:
        run("put", files, "in").works()
        run("get", "in", tmp_path / "out", "--link", link).works()
        with Lake.open_at(root) as lk:
            assert os.path.samefile(tmp_path / "out/a.txt", object_file(lk, "in/a.txt"))
            assert local_tree(tmp_path / "out") == local_tree(files)

    def test_damage(self, run: Run, root: Path, files: Path, tmp_path: Path) -> None:
        run("put", files / "table.csv", "t.csv").works()
        with Lake.open_at(root) as lk:
            flip(object_file(lk, "t.csv"), 3)
        assert "t.csv: chunk 0" in run("get", "t.csv", tmp_path / "out").fails()
        assert not (tmp_path / "out").exists()
        assert "t.csv: chunk 0" in run("cat", "t.csv").fails()
        assert run("stat", "t.csv", "--json").json[0]["damaged"] == [0]
        assert "healed" in run("put", files / "table.csv", "t.csv").works().text
        assert run("cat", "t.csv").works().out == b"x,y\n1,2\n"


class TestSlice:
    @pytest.fixture
    def filled(self, run: Run, bams: Path) -> Run:
        run("put", bams, "runs").works()
        return run

    def test_to_a_file(self, filled: Run, tmp_path: Path, bams: Path) -> None:
        filled("slice", "runs/s1.bam", REGION, "chr2:1-500", "-o", tmp_path / "out.bam").works()
        assert sam_text(tmp_path / "out.bam") == sam_text(bams / "s1.bam", REGION, "chr2:1-500")

    def test_to_standard_output(self, filled: Run, tmp_path: Path, bams: Path) -> None:
        for arguments in ((), ("-o", "-")):
            (tmp_path / "out.bam").write_bytes(filled("slice", "runs/s1.bam", REGION, *arguments).works().out)
            assert sam_text(tmp_path / "out.bam") == sam_text(bams / "s1.bam", REGION)

    @pytest.mark.parametrize("given", [("runs/*.bam",), ("runs/s1.bam", "runs/s2.bam"), ("runs/s1.bam", "runs/s?.bam")])
    def test_many_files_into_a_directory(self, filled: Run, tmp_path: Path, bams: Path, given: tuple[str, ...]) -> None:
        filled("slice", *given, REGION, "-o", f"{tmp_path}/out/", "--write-index").works()
        written = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert [name for name in written if name.endswith(".bam")] == ["s1.bam", "s2.bam"]
        assert len(written) == 4
        for name in ("s1.bam", "s2.bam"):
            assert sam_text(tmp_path / "out" / name, "chr1:15,000-16,000") == sam_text(
                bams / name, "chr1:15,000-16,000"
            )

    def test_same_names_are_kept_apart(self, filled: Run, tmp_path: Path, bams: Path) -> None:
        filled("put", bams / "s2.bam", "other/s1.bam").works()
        filled("slice", "runs/s1.bam", "other/s1.bam", REGION, "-o", f"{tmp_path}/out/").works()
        assert sorted(local_tree(tmp_path / "out")) == ["other/s1.bam", "runs/s1.bam"]

    @pytest.mark.parametrize(
        "region", ["*", "HLA-A*01:01", "{HLA-A*01:01}:1-900", ".", "chr2:20000", "chr2:1,000-2,000"]
    )
    def test_regions_are_not_taken_for_files(self, filled: Run, tmp_path: Path, bams: Path, region: str) -> None:
        filled("put", bams / "s2.bam", "top.bam").works()
        filled("slice", "runs/s1.bam", region, "-o", tmp_path / "out.bam").works()
        assert sam_text(tmp_path / "out.bam") == sam_text(bams / "s1.bam", region)

    def test_targets(self, filled: Run, tmp_path: Path, bams: Path) -> None:
        bed = make_tree(tmp_path, {"t.bed": "chr1\t100\t3000\nchr2\t0\t900\n"}) / "t.bed"
        filled("slice", "runs/s1.bam", "-L", bed, "-o", tmp_path / "out.bam").works()
        done = subprocess.run(
            ["samtools", "view", "-L", bed, bams / "s1.bam"], capture_output=True, text=True, check=True
        )
        assert sam_text(tmp_path / "out.bam") == done.stdout != ""
        assert "targets" in filled("slice", "runs/s1.bam", "-L", tmp_path / "no.bed").fails()

    def test_at_a_ref(self, filled: Run, tmp_path: Path, bams: Path) -> None:
        filled("rm", "runs/s1.bam").works()
        filled("slice", "@main~1/runs/s1.bam", REGION, "-o", tmp_path / "one.bam").works()
        filled("slice", "--ref", "1", "runs/s1.bam", REGION, "-o", tmp_path / "two.bam").works()
        assert sam_text(tmp_path / "one.bam") == sam_text(tmp_path / "two.bam") == sam_text(bams / "s1.bam", REGION)

    def test_bad_input(self, filled: Run, tmp_path: Path, files: Path) -> None:
        filled("put", files / "table.csv", "table.csv").works()
        for arguments, message in (
            (("runs/s1.bam", "chr3"), "chr3"),
            (("runs/s1.bam", "Chr1"), "chr1"),
            (("runs/s1.bam", "chr1:9-5"), "chr1:9-5"),
            (("runs/s1.bam", "runs/s3.bam", "chr1"), "runs/s3.bam"),
            (("runs/s9.bam", "chr1"), "did you mean"),
            (("runs", "chr1"), "is a directory"),
            (("table.csv", "chr1"), "CSV"),
            (("runs/*.bam", "chr1"), "-o DIR/"),
            (("runs/s1.bam", "chr1", "--write-index"), "--write-index needs a file"),
            (("*.cram", "chr1"), "nothing in the lake matches"),
        ):
            assert message in filled("slice", *arguments).fails()
            if "-o DIR/" not in message and "--write-index" not in arguments:
                filled("slice", *arguments, "-o", tmp_path / "out.bam").fails()
                assert not (tmp_path / "out.bam").exists()

    def test_damage_leaves_no_file(self, filled: Run, root: Path, tmp_path: Path) -> None:
        with Lake.open_at(root) as lk:
            flip(object_file(lk, "runs/s1.bam"), 9000)
        assert "runs/s1.bam" in filled("slice", "runs/s1.bam", "chr1", "-o", tmp_path / "out.bam").fails()
        assert not (tmp_path / "out.bam").exists()


def test_index(run: Run, files: Path, bams: Path) -> None:
    run("put", bams / "s2.bam", files / "table.csv", "x/", "--no-index").works()
    done: Done = run("index", "x/*").works()
    assert re.fullmatch(r"x/s2\.bam: .*\b(bai|csi)\b.*", done.lines[0])
    assert done.lines[1] == "x/table.csv: no regions in this format"


def test_cat(run: Run, files: Path, root: Path) -> None:
    run("put", f"{files}/.", "").works()
    assert run("cat", "*.txt", "d/c.txt").works().out == b"abbccc"
    assert "is a directory" in run("cat", "d").fails()
    with Lake.open_at(root) as lk:
        assert branch_files(lk) == local_tree(files)


def test_index_of_read_names(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reads = [f"@read{number}\n{'ACGT'[number % 4] * 9}\n+\nIIIIIIIII\n" for number in range(40)]
    (tmp_path / "r.fastq").write_text("".join(reads))
    run("put", tmp_path / "r.fastq", "r.fastq").works()
    done = run("slice", "r.fastq", "name=read7")
    assert done.text == reads[7]
    assert "no index of names" in caplog.text
    assert "fastq-names/1" in run("index", "--names", "r.fastq").works().text
    caplog.clear()
    assert run("slice", "r.fastq", "name=read7").works().text == reads[7]
    assert caplog.text == ""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    run("put", tmp_path / "t.csv", "t.csv").works()
    assert "t.csv is CSV" in run("index", "--names", "t.csv").fails()


def test_a_reference_that_is_missing_is_told_and_can_be_put_later(run: Run, shared_data: Path) -> None:
    folder = shared_data / "genomics"
    asked = ("slice", "volvox_v31.cram", "ctgA:1-1000", "--output-format", "SAM")
    done = run("put", folder / "cram/volvox_v31.cram", ".")
    assert done.status == 0
    assert re.fullmatch(
        r"lake: warning: volvox_v31\.cram: contig ctgA needs reference M5 [0-9a-f]{32}: put a FASTA that has it\n",
        done.err,
    )
    assert "needs reference M5" in run(*asked).fails()
    run("put", folder / "fasta/volvox.fa.gz", ".").works()
    assert sum(not line.startswith("@") for line in run(*asked).works().lines) == 131
