from types import SimpleNamespace

import pytest

from anomech.errors import StorageError
from anomech.estimate import TIMED, Estimate, check_disk, estimate
from anomech.features import LossTraces
from anomech.sampling import RMSpropSGLD


def test_more_draws_take_more_of_everything(fashion):
    task, trusted, _ = fashion
    few, many = (estimate(task, LossTraces(RMSpropSGLD(draws=draws)), trusted, 1000, block=500) for draws in (10, 1000))
    assert many.seconds > 5 * few.seconds
    assert many.disk_mb == pytest.approx(100 * few.disk_mb)
    assert many.memory_mb > few.memory_mb


def test_few_inputs_are_timed(fashion):
    task, trusted, _ = fashion
    before = task.cost.forward_passes
    estimate(task, LossTraces(), trusted, 1000, block=500)
    assert task.cost.forward_passes - before == 1 + TIMED < len(trusted)


def test_memory_is_bounded_by_the_block(fashion):
    task, trusted, _ = fashion
    small, large = (estimate(task, LossTraces(), trusted, n, block=500) for n in (500, 10_000_000))
    assert small.memory_mb == large.memory_mb


def test_a_full_disk_is_noticed_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    check_disk(4, tmp_path / "not" / "yet")
    with pytest.raises(StorageError, match=r"needs 6 MB on disk.*5 MB free"):
        check_disk(6, tmp_path)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "a second"), (45, "45 s"), (600, "10 min"), (9000, "2.5 h")])
def test_reads_as_a_sentence(seconds, text):
    assert (
        str(Estimate(seconds=seconds, memory_mb=3, disk_mb=1200)) == f"about {text}, 3 MB of memory, 1,200 MB of disk"
    )
