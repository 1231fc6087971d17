"""The benchmark of several processes, tiny: its rows, and the GPUs' part with a CPU for each."""

import pytest

from benchmarks import processes
from tests.small import train_params

pytestmark = pytest.mark.slow  # processes, each of which imports torch

TINY = train_params(optimizer="adam", fakes="shared")


def test_on_a_cpu_one_thread_all_threads_and_a_process_for_each_are_compared() -> None:
    rows = processes.cpu_rows("tiny", TINY, threads=2, rounds=1)
    shown = [(row["contestant"], row["processes"], row["threads_each"]) for row in rows]
    assert shown == [("alone", 1, 1), ("whole", 1, 2), ("shared", 2, 1)]
    alone, whole, shared = (float(str(row["ms"])) for row in rows)
    assert rows[1]["times_whole"] == 1
    assert rows[2]["times_whole"] == pytest.approx(whole / shared, rel=1e-2)
    assert rows[2]["share_of_ideal"] == pytest.approx(alone / shared / 2, rel=1e-2)


def test_gpus_share_out_a_batch_or_have_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GPU", "cpu")
    monkeypatch.setattr(processes, "GPU_ITERATIONS", 2)
    rows = processes.gpu_rows("tiny", TINY, gpus=3, rounds=1)
    shown = [(row["kind"], row["gpus"], row["batch"]) for row in rows]
    assert shown == [("strong", 1, 4), ("strong", 2, 4), ("weak", 1, 4), ("weak", 2, 8)]
    for row in rows:
        rate = 1000 * int(str(row["batch"])) / float(str(row["ms"]))
        assert row["images_per_s"] == pytest.approx(rate, rel=1e-2)
        assert row["share_of_ideal"] == 1 or row["gpus"] == 2
