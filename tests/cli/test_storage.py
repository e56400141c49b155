"""Output folders that cannot or must not be written, and full disks."""

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from anomech.auditor import Auditor


@pytest.fixture
def commands(audit, files, fit, fitted):
    """A command line of every command, by its name."""
    return {
        "audit": audit(),
        "demo": ("demo", "--detector=max-softmax"),
        "fit": fit(detector="max-softmax"),
        "score": ("score", "--auditor", fitted, "--inputs", files / "inputs.npz"),
        "run": ("run", fitted / "config.json"),
    }


every_command = pytest.mark.parametrize("command", ["audit", "demo", "fit", "score", "run"])


@every_command
@pytest.mark.usefixtures("small_demo")
def test_a_folder_with_other_files_is_refused(refused, commands, tmp_path, command):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years of work")
    refused(*commands[command], "--out", "mine", words="mine holds files that anomech did not write; choose another")


@every_command
@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/out"])
def test_a_file_in_the_place_of_a_folder_is_refused(refused, commands, tmp_path, command, out):
    (tmp_path / "notes.txt").write_text("mine")
    words = ("notes.txt", "Not a directory|File exists|is a file", r"; choose another folder with --out\.")
    refused(*commands[command], "--out", out, words=words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_parent_that_may_not_be_written_is_refused(refused, audit, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    words = r"cannot write .*locked/out: Permission denied; choose another folder with --out\."
    refused(*audit(out="locked/out"), words=words)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EROFS])
def test_a_parent_that_the_system_does_not_allow_is_refused(refused, audit, monkeypatch, code):
    def mkdir(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)
    words = f"cannot write .*/parent/out: {os.strerror(code)}; choose another folder with --out"
    refused(*audit(out="parent/out"), words=words)


@pytest.mark.parametrize(("out", "words"), [(".", "holds files that anomech did not write"), ("thesis.txt", "a file")])
def test_what_must_not_be_replaced_is_noticed_before_any_work(refused, audit, monkeypatch, tmp_path, out, words):
    monkeypatch.setattr(Auditor, "fit", never)
    (tmp_path / "thesis.txt").touch()
    refused(*audit(out=out), words=words)


def test_a_disk_that_is_too_small_is_noticed_before_any_work(refused, audit, monkeypatch):
    monkeypatch.setattr(Auditor, "fit", never)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=2**40, used=2**40, free=0))
    words = ("the run needs [1-9][0-9]* MB on disk, .* has 0 MB free", "free some space", "fewer draws", 'keep="seed"')
    refused(*audit(detector="noise", set="draws=1000"), words=words)


def never(*_, **__):
    raise AssertionError("it has begun")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from anomech.cli.main import main
main()
"""


def limited(bytes_a_file, *command, env):
    """Run a command whose files cannot grow beyond a limit, as on a full disk."""
    process = [sys.executable, "-c", LIMITED, str(bytes_a_file), *map(str, command)]
    return subprocess.run(process, env=env, capture_output=True, text=True, timeout=120)


def test_a_disk_that_fills_up_while_results_are_written(audit, environment, files, tmp_path):
    result = limited(200_000, *audit(inputs=files / "clean.npz"), env=environment)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    *_, sentence = result.stderr.strip().splitlines()
    assert sentence.startswith(f"Error: cannot write {tmp_path / 'out'}: File too large; free some space or choose")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_a_disk_that_fills_up_while_draws_are_written(audit, environment, tmp_path):
    result = limited(20_000, *audit(), "--detector=noise", "--set=draws=3", "--set=chains=1", env=environment)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    *_, sentence = result.stderr.strip().splitlines()
    assert "File too large" in sentence
    assert str(tmp_path / "tmp") in sentence
    assert "free some space" in sentence
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_a_disk_that_fills_up_while_the_auditor_is_saved(refused, fitted, monkeypatch):
    def full(source, destination, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination))

    monkeypatch.setattr(shutil, "copyfile", full)
    words = "cannot write .*new: No space left on device; free some space or choose another folder with --out"
    refused("run", fitted / "config.json", "--out", "new", words=words)
