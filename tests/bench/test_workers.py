import os
import signal
import subprocess
import sys
import time

import psutil

from anomech.bench.workers import worker_pool

SCRIPT = """
import os, time
from anomech.bench.workers import worker_pool

def work(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(work, "worker").result()
"""


def test_work_is_done_in_other_processes():
    with worker_pool(1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path)
    try:
        worker = psutil.Process(_when_written(tmp_path / "worker", parent))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    try:
        worker.wait(timeout=60)
    finally:
        if worker.is_running():
            worker.kill()


def _when_written(path, parent):
    while not (path.exists() and path.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    return int(path.read_text())
