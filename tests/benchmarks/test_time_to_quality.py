"""Turns, clocks, thresholds, what is missing; nothing here is about real seconds."""

import dataclasses
import itertools
import json
import math
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from benchmarks.recipes import default_params
from benchmarks.time_to_quality import __main__ as command
from benchmarks.time_to_quality import training
from benchmarks.time_to_quality.__main__ import main
from benchmarks.time_to_quality.curves import COLOURS, compare, quantile, seconds_to
from benchmarks.time_to_quality.table import (
    COLUMNS,
    Measurement,
    Setting,
    curves_of,
    read_table,
    write_table,
)
from benchmarks.time_to_quality.training import Bench, marks, missing_trainings, train
from benchmarks.timing import CLOCKS
from benchmarks.turns import Contestant, Here, Keras, engine, examples, plain
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from pipeline.base.cli import UserError
from tests.small import MEASURE, digits, train_params

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = digits(300, 100)
SETTING = Setting("a machine", "wall", 1, 16, "0123abcd")


class Time:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def meter() -> Meter:
    judge = Judge().eval()
    return Meter(judge, reference(judge, DATA, MEASURE), MEASURE)


def test_clocks_count_training_alone_each_its_own() -> None:
    time = Time()

    def contestant(seconds: float) -> Contestant:
        def draw(number: int) -> Tensor:
            time.passes(1000)
            return torch.zeros(number)

        return Here(lambda: (lambda: time.passes(seconds), draw), 1, time)

    def fd(measured: Contestant) -> float:
        time.passes(1000)
        return float(measured.images(7).shape[0])

    rows = [*train({"slow": contestant(3.0), "quick": contestant(0.5)}, 12.0, fd)]
    slow, quick = ([row[1:] for row in rows if row[0] == name] for name in ("slow", "quick"))
    assert quick == [(10, 5.0, 7.0), (20, 10.0, 7.0), (24, 12.0, 7.0)]
    assert slow == [(2, 6.0, 7.0), (4, 12.0, 7.0), (4, 12.0, 7.0)]
    assert [row[0] for row in rows] == ["slow", "quick", "quick", "slow", "slow", "quick"]


def test_slices_in_turns_train_bit_for_bit_as_one_alone(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(10**6))
    monkeypatch.setitem(CLOCKS, "wall", lambda: float(next(count)))  # an iteration a second
    tiny = train_params(d_dropout=0.3, g_dropout=0.3, batch_size=6)
    averaged = dataclasses.replace(tiny, average_images=12)
    starts: dict[str, Callable[[], Contestant]] = {
        "default": lambda: engine(averaged, "fp32", DATA.train_images, meter, "wall"),
        "plain port": lambda: plain(tiny, DATA.train_images, "wall"),
        "pytorch/examples": lambda: examples(2, 1, DATA.train_images, "wall"),
    }
    together = {name: start() for name, start in starts.items()}
    rows = [*train(together, 12.0, lambda one: float(one.images(9).mean()))]
    assert [row[1] for row in rows[-3:]] == [12, 12, 12]
    for name, start in starts.items():
        alone, first = start(), start().images(20)
        alone.train(12.0)
        images = together[name].images(20)
        assert images.shape == (20, 1, 28, 28)
        assert 0 <= images.min() < images.max() <= 1
        assert not torch.equal(images, first)
        assert torch.equal(images, alone.images(20)), name


def test_another_seed_is_another_training_and_the_caller_s_random_numbers_stay() -> None:
    before = torch.get_rng_state()
    one, other, again = (examples(2, seed, DATA.train_images, "wall") for seed in (1, 2, 1))
    one.train(1e-9)
    again.train(1e-9)
    other.train(1e-9)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.images(5), again.images(5))
    assert not torch.equal(one.images(5), other.images(5))


def test_samples_are_measured_often_at_first_and_at_the_limit() -> None:
    assert marks(3.0) == [3.0]
    found = marks(300.0)
    assert found[:3] == [5.0, 10.0, 15.0]
    assert found[-1] == 300.0
    assert all(low < high <= 1.1 * low + 5 for low, high in itertools.pairwise(found))


def test_thresholds_of_a_power_law_are_met_where_it_meets_them() -> None:
    # fd = 300 / t^1.5, seen at few moments: t = (300 / fd)^(2/3).
    points = [(seconds, 300 / seconds**1.5) for seconds in (5.0, 12.0, 31.0, 70.0)]
    for threshold in (10.0, 5.0, 2.0, 1.0):
        assert seconds_to(points, threshold) == pytest.approx((300 / threshold) ** (2 / 3))
    assert seconds_to(points, 0.4) == math.inf
    assert seconds_to(points, 100.0) == 5.0  # met before the first measurement
    assert seconds_to([(5.0, math.inf), (9.0, 1.0)], 2.0) == 9.0
    assert seconds_to([(1.0, 4.0), (2.0, 1.0), (3.0, 4.0), (4.0, 1.0)], 2.0) < 2.0


def test_quartiles_take_what_was_not_reached_for_later_than_the_limit() -> None:
    reached = [30.0, 10.0, 20.0, 50.0]
    wanted = statistics.quantiles(reached, n=4, method="inclusive")
    assert [quantile(reached, share) for share in (0.25, 0.5, 0.75)] == wanted
    assert quantile([7.0], 0.75) == 7.0
    inf = math.inf
    assert [quantile([20.0, inf, 10.0], share) for share in (0.25, 0.5, 0.75)] == [15.0, 20.0, inf]
    assert [quantile([10.0, inf], share) for share in (0, 0.25, 0.5)] == [10.0, inf, inf]
    assert quantile([inf, inf], 0.5) == inf


def test_a_row_tells_median_quartiles_and_how_much_sooner_the_default_is() -> None:
    def falls(to_five: float) -> list[tuple[float, float]]:
        return [(1.0, 40.0), (to_five, 5.0), (100.0, 3.0)]

    curves = {("default", seed): falls(to) for seed, to in ((1, 4.0), (2, 5.0), (3, 8.0))}
    curves |= {("keras", 1): falls(40.0), ("keras", 2): falls(100.0), ("keras", 3): [(80.0, 9.0)]}
    rows = {(row["contestant"], row["fd"]): row for row in compare(curves)}
    assert len(rows) == 8
    default = rows["default", 5.0]
    assert (default["reached"], default["of"], default["default_sooner"]) == (3, 3, None)
    assert (default["seconds_q1"], default["seconds"], default["seconds_q3"]) == (4.5, 5.0, 6.5)
    keras = rows["keras", 5.0]
    assert (keras["reached"], keras["of"], keras["trained_s"]) == (2, 3, 80.0)
    assert (keras["seconds"], keras["seconds_q3"]) == (100.0, None)
    assert (keras["default_sooner"], keras["at_least"]) == (10.0, True)  # of 10, 20, over 10
    assert rows["keras", 10.0]["at_least"] is False
    nobody = rows["keras", 1.0]
    assert (nobody["seconds"], nobody["default_sooner"], nobody["at_least"]) == (None, None, None)


def test_what_is_missing_is_what_has_not_trained_for_as_long_as_the_limit(tmp_path: Path) -> None:
    other = SETTING._replace(machine="another machine")
    rows = [
        Measurement(SETTING, "default", 1, 100, 5.0, 30.5),
        Measurement(SETTING, "keras", 1, 10, 5.0, math.inf),
        Measurement(other, "default", 2, 300, 10.0, 1.0),
        Measurement(SETTING, "default", 1, 200, 10.001, 20.25),
    ]
    write_table(tmp_path / "curves.csv", rows)
    assert read_table(tmp_path / "curves.csv") == rows
    names = ["default", "keras"]
    assert curves_of(rows, SETTING, names, 5.0)["default", 1] == [(5.0, 30.5)]
    curves = curves_of(rows, SETTING, names, 10.0)
    assert curves["default", 1] == [(5.0, 30.5), (10.001, 20.25)]
    assert curves == curves_of(rows, SETTING, names, 99.0)
    missing = missing_trainings(curves, ["default", "keras"], 2, 10.0)
    assert missing == {1: ["keras"], 2: ["default", "keras"]}
    assert missing_trainings(curves, ["default"], 1, 10.0) == {}


def test_a_table_of_another_kind_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    for text in ("epoch,fd\n1,2\n", ",".join(COLUMNS) + "\n1,2,3\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="not measurements"):
            read_table(path)


KERAS = """#!{python}
import json, sys
import numpy as np
for line in sys.stdin:
    request = json.loads(line)
    if "train" in request:
        print(json.dumps({{"iterations": 3, "seconds": request["train"] + 0.5}}), flush=True)
        continue
    if request["images"] == 13:
        sys.exit("no memory")
    images = np.arange(request["images"] * 784, dtype=np.float32)
    np.save(request["file"], images.reshape(-1, 28, 28, 1))
    print("{{}}", flush=True)
"""


def test_keras_trains_in_a_process_and_hands_images_over_as_a_file(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(KERAS.format(python=sys.executable))
    python.chmod(0o755)
    with Keras(python, 16, 1, 1, "wall") as keras:
        assert keras.train(2.0) == (3, 2.5)
        images = keras.images(2)
        assert images.shape == (2, 1, 28, 28)
        assert torch.equal(images.flatten(), torch.arange(2 * 784.0))
        with pytest.raises(UserError, match="Keras ended"):
            keras.images(13)
        with pytest.raises(UserError, match="Keras ended"):
            keras.train(1.0)


@pytest.fixture
def project(tmp_path: Path, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the command needs, tiny; a second passes with each look at the clock."""
    params = default_params()
    params = dataclasses.replace(
        params, measure=MEASURE, train=dataclasses.replace(params.train, batch_size=4)
    )
    (tmp_path / "judge").write_bytes(b"judge")
    monkeypatch.setattr(training, "JUDGE", tmp_path / "judge")
    for module in (training, command):
        monkeypatch.setattr(module, "default_params", lambda: params)
    monkeypatch.setattr(training, "load_meter", lambda *_: meter)
    monkeypatch.setattr(training, "load_data", lambda: DATA)
    count = iter(range(10**6))
    monkeypatch.setitem(CLOCKS, "wall", lambda: float(next(count)))
    arguments = ["--limit", "7", "--seeds", "2", "--width", "2", "--out", str(tmp_path / "out")]
    arguments += ["--keras", str(tmp_path / "absent")]
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    return tmp_path


def test_an_interrupted_command_goes_on_with_what_is_missing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, measured = project / "out" / "curves.csv", 0
    honest = Bench.fd

    def interrupted(bench: Bench, contestant: Contestant) -> float:
        nonlocal measured
        measured += 1
        if measured == 6:  # of seed 1 the contestants that came to their end, and one that did not
            raise KeyboardInterrupt
        return honest(bench, contestant)

    monkeypatch.setattr(Bench, "fd", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main()
    before = read_table(table)
    assert len(before) == 5
    ended = {row.contestant for row in before if row.seconds >= 7}
    assert len(ended) == 2

    main()
    out, err = capsys.readouterr()
    assert "keras: no " in err
    rows = read_table(table)
    assert len(rows) == 2 * 3 * 2
    assert measured == 6 + 12 - 4
    kept = [row for row in before if row.contestant in ended]
    assert [row for row in rows if row.seed == 1 and row.contestant in ended] == kept
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    found = {row["contestant"] for row in lines if row["section"] == "time to quality"}
    assert found == set(COLOURS) - {"keras"}
    assert (project / "out" / "fd.png").read_bytes().startswith(b"\x89PNG")

    text = table.read_bytes()
    main()
    assert table.read_bytes() == text
    assert measured == 6 + 12 - 4


def test_a_dry_run_tells_the_plan_and_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--dry-run"])
    main()
    (line,) = capsys.readouterr().out.splitlines()
    plan = json.loads(line)
    assert (plan["trainings_missing"], plan["measurements_each"]) == (6, 2)
    assert plan["minutes"] > 0
    assert not (project / "out").exists()


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--limit", "x"], ["--width", "3"]])
def test_wrong_options_are_told(
    project: Path,
    wrong: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [*sys.argv, *wrong])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
    assert not (project / "out").exists()
