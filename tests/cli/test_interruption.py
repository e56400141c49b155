"""A real process is interrupted, or killed, while it samples or explains."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from anomech.cli import runs
from anomech.explain.occlusion import Occlusion

SENTENCE = "Interrupted. Nothing half-written was left; the same command starts again."
ENDLESS = "--set=draws=100000"
PATIENCE = 60


@pytest.fixture
def few(fit):
    """The arguments of a fit that takes few draws."""
    return *fit(), "--set=chains=1", "--set=draws=3"


@pytest.fixture
def sampling(few, environment, tmp_path):
    """A process that has begun to write draws and would go on for long."""
    command = "from anomech.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, *few, ENDLESS],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a script runs in the background ignore interrupts, and what they start would, too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not list(tmp_path.glob("tmp/anomech-*/draws-*")):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline, "it has not begun"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_an_interrupted_process_says_so_and_leaves_nothing(sampling, tmp_path):
    sampling.send_signal(signal.SIGINT)
    _, messages = sampling.communicate(timeout=PATIENCE)
    assert sampling.returncode == 130
    assert messages.rstrip().endswith(SENTENCE)
    assert "Traceback" not in messages
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_a_killed_process_leaves_no_result_and_the_same_command_starts_again(sampling, few, anomech, refused, tmp_path):
    sampling.kill()
    sampling.wait(timeout=PATIENCE)
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    refused("score", "--auditor", "auditor", "--inputs", "any.npz", words="does not record a run")
    assert anomech(*few).status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"tmp", "auditor"}


@pytest.mark.parametrize("at", ["load_trusted", "check_disk"])
def test_an_interrupted_command_keeps_the_result_of_an_earlier_one(anomech, few, fitted, monkeypatch, tmp_path, at):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    before = (fitted / "config.json").read_bytes()
    monkeypatch.setattr(runs, at, interrupt)
    result = anomech(*few)
    assert result.status == 130
    assert result.messages.endswith(SENTENCE)
    assert (fitted / "config.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["auditor"]


SLOW = """
import time
from anomech.explain.occlusion import Occlusion
inner = Occlusion._attribute
def slow(*arguments):
    time.sleep(0.5)
    return inner(*arguments)
Occlusion._attribute = slow
"""


def test_a_killed_audit_does_not_explain_again_what_it_had_explained(
    anomech, audit, environment, monkeypatch, tmp_path, verdicts
):
    arguments = (*audit(detector="gradient", fpr=0.05), "--explain=6")
    maps, command = tmp_path / ".out.maps", f"{SLOW}\nfrom anomech.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-c", command, *map(str, arguments)], env=environment) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not list(maps.glob("[!.]*")):
                assert process.poll() is None
                assert time.monotonic() < deadline, "it has not begun"
                time.sleep(0.05)
        finally:
            process.kill()
    kept = len(list(maps.glob("[!.]*")))
    assert 0 < kept < 6
    assert not (tmp_path / "out").exists()

    inner, explained = Occlusion._attribute, []
    monkeypatch.setattr(Occlusion, "_attribute", lambda *a: explained.append(a) or inner(*a))
    assert anomech(*arguments).status == 1
    assert len(explained) == 6 - kept
    assert len(verdicts("out")["located"].drop_null()) == 6
    assert not maps.exists()
