import contextlib
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from dcgan import mnist
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.networks import Generator
from dcgan.training import SIGNALS
from ganverdict.verdict import Remedy, Verdict
from pipeline import evaluate
from pipeline.base.cli import UserError, load_params, write_json
from pipeline.plots import training as plots
from pipeline.store.weights import save_generator, save_tensors
from tests.idx import draw_digits, write_idx_dataset
from tests.project import REPOSITORY, SMALL

EPOCHS, STEPS_PER_EPOCH, BEST = 4, 20, 3
KNOWN = ("floor", "test", "blurred", "nines_removed", "one_class", "noise")
PICTURES = {
    *(f"{name}.png" for name in ("losses", "gradients", "fd", "epochs", "best", "classes")),
    "neighbours.png",
    "progress.gif",
}


class Recorder:
    """Stands for the tracker; what it is given must already lie on disk."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.values: dict[tuple[str, int], float] = {}
        self.files: set[tuple[str, str]] = set()
        self.flushed = False
        self.text = ""
        tracked.append(self)

    def final_metrics(self, group: str, step: int, values: Mapping[str, float]) -> None:
        self.values |= {(f"{group}/{name}", step): value for name, value in values.items()}

    def describe(self, markdown: str) -> None:
        self.text = markdown

    def artifact(self, file: Path, folder: str = "") -> None:
        assert file.stat().st_size > 0
        self.files.add((folder, file.name))

    def flush(self, at_once: bool = False) -> bool:
        self.flushed = at_once
        return True


tracked: list[Recorder] = []


@dataclass(frozen=True)
class Evaluated:
    folder: Path
    run: Recorder
    output: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `train` leaves it, tiny."""
    folder: Path = tmp_path_factory.mktemp("trained")
    yaml = YAML()
    values = yaml.load(REPOSITORY / "params.yaml")
    for section, pairs in SMALL.items():
        values[section].update(pairs)
    yaml.dump(values, folder / "params.yaml")
    write_idx_dataset(folder / "data/mnist", train=300, test=100)
    measure = load_params(folder / "params.yaml").measure
    data = mnist.load(folder / "data/mnist")
    torch.manual_seed(0)
    judge = Judge().eval().requires_grad_(False)
    against = reference(judge, data, measure)
    save_tensors(folder / "models/judge.safetensors", judge.state_dict(), {})
    save_tensors(folder / "models/reference.safetensors", vars(against), {})
    metrics = Meter(judge, against, measure).full(torch.rand(200, 1, 28, 28))
    scale = {
        known: {name: value * factor for name, value in metrics.items()}
        for factor, known in enumerate(KNOWN, start=1)
    }
    rows = [{"set": known, **values} for known, values in scale.items()]
    write_json(folder / "reports/judge.json", {"accuracy": 0.99, "scale": rows})
    hash_ = mnist.data_hash(folder / "data/mnist")
    write_json(folder / "reports/data.json", {"hash": hash_})
    for name, epoch in (("best", BEST), ("last", EPOCHS)):
        about = {"epoch": epoch, "step": epoch * STEPS_PER_EPOCH}
        file = folder / f"models/generator_{name}.safetensors"
        save_generator(file, Generator(2, 8, 0.0), about)
    write_json(folder / "models/run.json", {"key": "k" * 32})
    verdict = Verdict(
        status="onset",
        reason="the loss of D at step 50",
        best_epoch=BEST,
        best_step=BEST * STEPS_PER_EPOCH,
        alarm_step=50,
        onset_step=61,
        onset_epoch=4,
        remedies=(Remedy("a lower rate", "somebody"),),
    )
    write_json(folder / "reports/stop.json", verdict.to_json())
    _write_reports(folder)
    return folder


@pytest.fixture
def left(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    return enter(shutil.copytree(trained, tmp_path / "left"), monkeypatch)


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Another copy, evaluated once for the tests that only look."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "left")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        enter(folder, patch)
        evaluate.main()
    return Evaluated(folder, tracked[0], said.getvalue())


def enter(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(folder)
    patch.setattr(sys, "argv", ["evaluate"])
    patch.setattr(evaluate, "TrackedRun", Recorder)
    tracked.clear()
    return folder


def _write_reports(folder: Path) -> None:
    steps = [",".join(["step", *SIGNALS])]
    steps += [f"{step},1,2,.5,.4,1,2,.01,.02" for step in range(1, EPOCHS * STEPS_PER_EPOCH + 1)]
    (folder / "reports/steps.csv").write_text("\n".join(steps) + "\n")
    epochs = ["epoch,step,images_seen,fd,fd_sigma,class_kl,seconds"]
    epochs += [f"{n},{n * STEPS_PER_EPOCH},9,{9 / n},.1,.02,1" for n in range(1, EPOCHS + 1)]
    (folder / "reports/epochs.csv").write_text("\n".join(epochs) + "\n")
    at = np.arange(10, EPOCHS * STEPS_PER_EPOCH + 1, 10)
    images = draw_digits(64 * len(at), torch.Generator().manual_seed(1))[0]
    grids = images.view(-1, 64, 28, 28).numpy()
    np.savez_compressed(folder / "models/samples.npz", steps=at, grids=grids)


def metrics(folder: Path) -> Any:
    return json.loads((folder / "reports/metrics.json").read_text())


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".partial")]


def test_every_figure_of_best_and_last_is_reported_with_its_scale(evaluated: Evaluated) -> None:
    report = metrics(evaluated.folder)
    assert (report["best"]["epoch"], report["last"]["epoch"]) == (BEST, EPOCHS)
    wanted = {"fd", "fd_sigma", "kid", "kid_error", "precision", "recall", "density", "coverage"}
    wanted |= {"class_kl", "min_share", "confident", "nn_ratio", "shares"}
    assert wanted <= set(report["best"]) & set(report["last"])
    scale = {row.pop("metric"): row for row in report["scale"]}
    assert set(scale) == wanted - {"shares"}
    assert all(list(metrics) == list(KNOWN) for metrics in scale.values())
    known = json.loads((evaluated.folder / "reports/judge.json").read_text())["scale"]
    (noise,) = (row for row in known if row["set"] == "noise")
    assert scale["kid"]["noise"] == noise["kid"]
    assert all(math.isfinite(number) for number in numbers(report))
    assert math.isclose(sum(report["best"]["shares"]), 1)
    assert report["best"]["fd"] != report["last"]["fd"]


def test_every_picture_is_whole(evaluated: Evaluated) -> None:
    files = {file.name: file for file in (evaluated.folder / "reports/plots").iterdir()}
    assert set(files) == PICTURES
    for file in files.values():
        with Image.open(file) as picture:
            assert picture.format == file.suffix[1:].upper()
            assert 200 <= min(picture.size) <= max(picture.size) <= 1300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 2
    assert half_written(evaluated.folder) == []


def test_the_tracked_run_gets_the_figures_and_the_files(evaluated: Evaluated) -> None:
    run = evaluated.run
    assert run.key == "k" * 32
    assert run.flushed
    report = metrics(evaluated.folder)
    for group, name in (("final", "best"), ("last", "last")):
        for figure in ("fd", "kid", "class_kl", "epoch"):
            step = report[name]["step"]
            assert run.values[f"{group}/{figure}", step] == report[name][figure]
    assert run.values["final/share_7", BEST * STEPS_PER_EPOCH] == report["best"]["shares"][7]
    reports = {("reports", name) for name in ("metrics.json", "report.html")}
    assert run.files == reports | {("plots", name) for name in PICTURES}


def test_the_page_of_the_run_tells_verdict_metrics_and_where_the_pictures_are(
    evaluated: Evaluated,
) -> None:
    text = re.sub(" +", " ", evaluated.run.text)
    assert text.startswith("**onset**: the loss of D at step 50\n\n")
    assert f"epoch {BEST}, step {BEST * STEPS_PER_EPOCH}\n" in text
    assert "Onset: epoch 4, step 61\n" in text
    assert "- a lower rate (somebody)\n" in text
    assert "| 200 samples | this run | floor | test | blurred | nines removed | one class |" in text
    best = metrics(evaluated.folder)["best"]
    for name in ("fd", "class_kl", "min_share", "confident", "coverage"):
        assert f"| `{name}` | {best[name]:.4g} |" in text
    assert "`plots`" in text


def test_figures_are_the_same_however_often_they_are_taken(
    evaluated: Evaluated, left: Path
) -> None:
    torch.rand(5)  # the global state is not what they hang on
    evaluate.main()
    assert metrics(left) == metrics(evaluated.folder)


def test_a_broken_last_generator_has_only_finite_figures(
    left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = Generator(2, 8, 0.0)
    for weight in generator.parameters():
        torch.nn.init.constant_(weight, math.nan)
    file = left / "models/generator_last.safetensors"
    save_generator(file, generator, {"epoch": EPOCHS, "step": EPOCHS * STEPS_PER_EPOCH})
    evaluate.main()
    report = metrics(left)
    assert "fd" in report["best"]
    assert "fd" not in report["last"]
    assert all(math.isfinite(number) for number in numbers(report))
    assert "nan" not in capsys.readouterr().out


def test_the_table_has_every_figure_in_line_with_the_scale(evaluated: Evaluated) -> None:
    head, *lines = evaluated.output.splitlines()
    assert " ".join(head.split()) == (
        "200 samples best last floor test blurred nines removed one class noise"
    )
    rows = {line.split()[0]: line for line in lines}
    best = metrics(evaluated.folder)["best"]
    assert rows["fd"].split()[1] == f"{best['fd']:.4g}"
    assert {"kid", "precision", "recall", "density", "coverage", "nn_ratio"} <= set(rows)
    assert rows["fd"].index(rows["fd"].split()[1]) + len(rows["fd"].split()[1]) == (
        head.index("best") + len("best")
    )


def test_a_generator_that_can_be_asked_is_judged_by_what_it_was_asked_for(
    left: Path, evaluated: Evaluated
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(2, 8, 0.0, conditional=True)
    about = {"epoch": BEST, "step": BEST * STEPS_PER_EPOCH}
    save_generator(left / "models/generator_best.safetensors", generator, about)
    evaluate.main()
    report = metrics(left)
    (run,) = tracked
    assert "digits" not in metrics(evaluated.folder)
    by_digit = report["digits"]
    assert [row["digit"] for row in by_digit] == [*range(10)]
    # Evenly asked: the share of all that came as asked is the digits' mean.
    mean = sum(row["as_asked"] for row in by_digit) / 10
    assert report["best"]["as_asked"] == pytest.approx(mean)
    assert run.values["final/as_asked", BEST * STEPS_PER_EPOCH] == report["best"]["as_asked"]
    assert "as_asked" not in report["last"]
    files = {file.name for file in (left / "reports/plots").iterdir()}
    assert files == PICTURES | {"digits.png", "asked.png"}
    with Image.open(left / "reports/plots/digits.png") as picture:
        assert picture.size[0] > 600
    text = (left / "reports/report.html").read_text()
    assert "Digits asked for" in text
    assert f"{by_digit[3]['fd']:.3g}" in text
    assert "Digits asked for" not in (evaluated.folder / "reports/report.html").read_text()


@pytest.mark.parametrize("failing", ["classes", "animation"])
def test_nothing_is_left_when_a_picture_fails(
    left: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, failing, fail)
    with pytest.raises(OSError, match="No space"):
        evaluate.main()
    assert not (left / "reports/plots").exists()
    assert not (left / "reports/metrics.json").exists()
    assert half_written(left) == []
    assert not any(run.values or run.files or run.text for run in tracked)


INPUTS = {
    "models/generator_best.safetensors": "train",
    "models/generator_last.safetensors": "train",
    "models/samples.npz": "train",
    "models/run.json": "train",
    "reports/steps.csv": "train",
    "reports/epochs.csv": "train",
    "reports/stop.json": "train",
    "reports/judge.json": "judge",
    "models/judge.safetensors": "judge",
    "models/reference.safetensors": "judge",
    "data/mnist/train-images-idx3-ubyte": "fetch",
    "reports/data.json": "fetch",
}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"nonsense",
        b"[]\n",
        b"a,b\n1,2\n",
        b'{"scale": [{"set": "test", "fd": 1}]}\n',
        "half",
    ],
)
@pytest.mark.parametrize("name", INPUTS)
def test_a_missing_or_corrupt_input_is_one_line_naming_file_and_stage(
    left: Path, name: str, content: bytes | str | None
) -> None:
    file = left / name
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2 + 3])
    with pytest.raises(UserError) as raised:
        evaluate.main()
    words = str(raised.value)
    assert name in words
    assert ("missing" in words) == (content is None)
    assert f"`dvc repro {INPUTS[name]}`" in words
    assert "\n" not in words
    assert not (left / "reports/plots").exists()


def test_the_nearest_epochs_of_the_run_are_shown(left: Path) -> None:
    shown: dict[str, list[str]] = {}
    original = plots.save

    def save(figure: plots.Figure, path: Path) -> None:
        shown[path.stem] = [axis.get_title() for axis in figure.axes]
        original(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", save)
        evaluate.main()
    assert shown["epochs"] == ["epoch 1", "epoch 4"]
    assert shown["best"] == ["samples, best epoch (3)", "real digits (test set)"]


def test_nearest_pixels_agree_with_brute_force_and_find_copies() -> None:
    rng = torch.Generator().manual_seed(0)
    images, _ = draw_digits(40, rng)
    among, _ = draw_digits(11_000, rng)
    among[10_500] = images[7]
    distances, indices = evaluate.nearest_pixels(images, among, 4)
    assert indices[7, 0] == 10_500
    assert distances[7, 0] < 0.01
    differences = (images[3].double() - among.double()).div(255).square().sum((1, 2)).sqrt()
    expected = differences.topk(4, largest=False)
    assert indices[3].tolist() == expected.indices.tolist()
    assert torch.allclose(distances[3].double(), expected.values, atol=1e-3)
