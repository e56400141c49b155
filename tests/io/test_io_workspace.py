import os
import subprocess
import sys
import tempfile

from anomech.io.workspace import workspace


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"anomech-{dead.pid}-abc", f"anomech-{os.getppid()}-abc", "anomech-notes-abc"):
        (tmp_path / name).mkdir()
    with workspace() as folder:
        names = {path.name for path in tmp_path.iterdir()}
        assert f"anomech-{dead.pid}-abc" not in names
        assert {f"anomech-{os.getppid()}-abc", "anomech-notes-abc"} < names
        assert os.path.basename(folder).startswith(f"anomech-{os.getpid()}-")  # noqa: PTH119
