import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from anomech.errors import DataError, StorageError
from anomech.io.atomic import atomic_directory, atomic_file

PREPARE_FULL_DISK = """
import resource, sys
from pathlib import Path
from anomech.errors import StorageError
from anomech.io.atomic import atomic_directory, atomic_file
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""

WRITERS = {
    "bytes": "part.write_bytes(bytes(100_000))",
    "safetensors": "import torch; from safetensors.torch import save_file; save_file({'a': torch.ones(100_000)}, part)",
}


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_a_file_appears_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "folder" / "a.json"
    for content in ("first", "second"):
        with atomic_file(path) as part:
            assert part.parent == path.parent
            assert part.suffix == ".json"
            part.write_text(content)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DataError])
def test_a_failed_file_leaves_the_old_one(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")

    def fail():
        with atomic_file(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_directory_appears_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "run"
    for name in ("first", "second"):
        with atomic_directory(path) as part:
            assert part == path.parent / f".run.partial-{os.getpid()}"
            (part / name).touch()
            assert not (path / name).exists()
        assert [f.name for f in path.iterdir()] == [name]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_directory_leaves_the_old_one(tmp_path, error):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()

    def fail():
        with atomic_directory(tmp_path / "run") as part:
            (part / "half").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*")) == ["run", "run/old"]


def test_the_old_directory_is_put_back_if_the_swap_fails(tmp_path, monkeypatch):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").touch()
    replace = Path.replace

    def fail_to_finish(self, target):
        if self.name.startswith(".run.partial") and not self.name.endswith(".old"):
            assert not path.exists()
            raise OSError(errno.EIO, "broken disk")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_to_finish)
    with pytest.raises(OSError, match="broken disk"), atomic_directory(path) as part:
        (part / "new").touch()
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*")) == ["run", "run/old"]


def test_a_link_keeps_pointing_to_the_directory_that_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_directory(tmp_path / "link") as part:
        (part / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "new").exists()


@pytest.mark.parametrize("atomic", [atomic_file, atomic_directory])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space or choose another folder with --out"),
        (errno.EDQUOT, "free some space or choose another folder with --out"),
        (errno.EFBIG, "free some space or choose another folder with --out"),
        (errno.EROFS, "; choose another folder with --out"),
        (errno.EACCES, "; choose another folder with --out"),
    ],
)
def test_storage_failures_are_told_with_the_path(tmp_path, atomic, code, remedy):
    with (
        pytest.raises(StorageError, match=rf"cannot write .*out: {os.strerror(code)}; .*") as caught,
        atomic(tmp_path / "out"),
    ):
        raise OSError(code, os.strerror(code))
    assert remedy in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("atomic", [atomic_file, atomic_directory])
def test_failures_of_safetensors_are_storage_failures(tmp_path, atomic):
    with pytest.raises(StorageError, match=r"cannot write .*out: I/O error.*--out"), atomic(tmp_path / "out"):
        raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("atomic", [atomic_file, atomic_directory])
def test_other_system_errors_pass(tmp_path, atomic):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "out"):
        (tmp_path / "absent").read_text()


def test_a_directory_does_not_replace_a_file(tmp_path):
    (tmp_path / "out").write_text("kept")
    with pytest.raises(StorageError, match="out: Not a directory"), atomic_directory(tmp_path / "out"):
        pytest.fail("the work must not start")
    assert (tmp_path / "out").read_text() == "kept"


def test_a_file_does_not_replace_a_directory(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match="out: Is a directory"), atomic_file(tmp_path / "out") as part:
        part.touch()
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("atomic", [atomic_file, atomic_directory])
def test_a_parent_that_is_a_file_is_a_storage_failure(tmp_path, atomic):
    (tmp_path / "parent").touch()
    with pytest.raises(StorageError, match=r"cannot write .*parent/out: (File exists|Not a directory)"):
        atomic(tmp_path / "parent" / "out").__enter__()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_no_file(tmp_path, writer):
    code = f"""{PREPARE_FULL_DISK}
try:
    with atomic_file(Path(sys.argv[1])) as part:
        {WRITERS[writer]}
except StorageError as error:
    print("StorageError:", error)
"""
    result = run(code, tmp_path / "big.safetensors")
    assert "StorageError: cannot write" in result.stdout, result.stderr
    assert "File too large" in result.stdout
    assert "--out" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_directory(tmp_path):
    code = f"""{PREPARE_FULL_DISK}
try:
    with atomic_directory(Path(sys.argv[1])) as folder:
        part = folder / "big"
        {WRITERS["bytes"]}
except StorageError as error:
    print("StorageError:", error)
"""
    result = run(code, tmp_path / "run")
    assert "StorageError: cannot write" in result.stdout, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_directory_and_the_next_cleans_up(tmp_path):
    code = """
import sys, time
from pathlib import Path
from anomech.io.atomic import atomic_directory
with atomic_directory(Path(sys.argv[1])) as part:
    (part / "half").touch()
    print("ready", flush=True)
    time.sleep(120)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert [f.name for f in tmp_path.iterdir()] == [f".run.partial-{process.pid}"]
    with atomic_directory(tmp_path / "run") as part:
        (part / "whole").touch()
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*")) == ["run", "run/whole"]


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_dead_processes_left_under_the_same_name_is_removed(tmp_path):
    dead, alive = dead_pid(), os.getppid()
    removed = [f".run.partial-{dead}", f".run.partial-{os.getpid()}"]
    kept = [f".run.partial-{alive}", f".other.partial-{dead}", ".run.partial-notes"]
    for name in removed + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with atomic_directory(tmp_path / "run"):
        assert not (tmp_path / removed[0]).exists()
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([*kept, "run"])


def test_a_file_that_a_dead_process_left_is_removed(tmp_path):
    (tmp_path / f".a.txt.partial-{dead_pid()}.txt").touch()
    with atomic_file(tmp_path / "a.txt") as part:
        part.touch()
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_directory_is_put_back_after_a_death_between_the_moves(tmp_path):
    pid = dead_pid()
    for name in (f".run.partial-{pid}", f".run.partial-{pid}.old"):
        (tmp_path / name).mkdir()
    (tmp_path / f".run.partial-{pid}.old" / "old").touch()

    def fail():
        with atomic_directory(tmp_path / "run"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*")) == ["run", "run/old"]
