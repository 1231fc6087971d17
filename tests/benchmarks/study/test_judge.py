"""Which judge a study has: made once, named, and kept from other digits."""

import dataclasses
import hashlib
import pickle
import sys
from pathlib import Path

import pytest

from benchmarks.study.judge import KeptJudge, keep_judge, kept_judge
from dcgan import judge as judging
from dcgan.judge import Judge
from dcgan.measuring import reference
from pipeline.base import paths
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.store import checkpoints
from pipeline.store.weights import save_tensors
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, same

DATA = digits(train=200, test=120)
JUDGE = dataclasses.replace(SHIPPED.judge, epochs=1, batch_size=20, min_accuracy=0.0)
PARAMS = dataclasses.replace(SHIPPED, judge=JUDGE, measure=MEASURE, runtime=FP32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the judge is kept; there is none of the pipeline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    return tmp_path / "checkpoints/gpu/judge"


def keep(params: Params = PARAMS) -> KeptJudge:
    keep_judge(DATA, "hash", params, CPU)
    return kept_judge("hash", params.measure, CPU)


def of_the_pipeline() -> Judge:
    judge = Judge().eval()
    save_tensors(paths.JUDGE, judge.state_dict(), {})
    save_tensors(paths.REFERENCE, vars(reference(judge, DATA, MEASURE)), {})
    return judge


def test_a_judge_is_trained_once_and_is_the_same_ever_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keep()
    monkeypatch.setattr(judging, "fit", pytest.fail)
    again = keep()
    assert again.name == first.name
    assert same(again.meter.judge.state_dict(), first.meter.judge.state_dict())
    assert same(vars(again.meter.against), vars(first.meter.against))


def test_judges_of_other_weights_have_other_names(folder: Path) -> None:
    first = keep()
    first.file.unlink()
    other = keep(dataclasses.replace(PARAMS, judge=dataclasses.replace(JUDGE, seed=1)))
    assert other.name != first.name


def test_the_judge_of_the_pipeline_is_taken_under_its_own_name(folder: Path) -> None:
    judge = of_the_pipeline()
    kept = keep()
    assert kept.name == hashlib.sha256(paths.JUDGE.read_bytes()).hexdigest()
    assert same(kept.meter.judge.state_dict(), judge.state_dict())
    # A later command, on a machine to which only the kept one came, has the same.
    paths.JUDGE.unlink()
    assert keep().name == kept.name


def test_where_it_cannot_be_read_one_is_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_the_pipeline()
    monkeypatch.setitem(sys.modules, "pipeline.store.weights", None)
    assert keep().name != hashlib.sha256(paths.JUDGE.read_bytes()).hexdigest()
    told = capsys.readouterr().out
    assert "cannot be read without the package safetensors" in told
    assert "judge: trained here" in told


def test_a_judge_that_errs_too_often_is_not_kept(folder: Path) -> None:
    strict = dataclasses.replace(PARAMS, judge=dataclasses.replace(JUDGE, min_accuracy=1.0))
    with pytest.raises(UserError, match=r"less than judge.min_accuracy = 1; give it"):
        keep(strict)
    assert not (folder / "state.pt").exists()


def test_a_judge_of_other_digits_is_refused(folder: Path) -> None:
    keep()
    with pytest.raises(UserError, match=r"gpu/judge: this judge has seen other digits, or"):
        kept_judge("another hash", MEASURE, CPU)
    other = dataclasses.replace(MEASURE, num_neighbour_samples=120)
    with pytest.raises(UserError, match=r"gpu/judge: this judge has seen other digits, or"):
        kept_judge("hash", other, CPU)


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("harm"),))


def test_a_file_that_is_no_judge_is_refused_and_runs_no_code(folder: Path) -> None:
    folder.mkdir(parents=True)
    for content in (b"", b"junk", pickle.dumps({"judge": Hostile()})):
        (folder / "state.pt").write_bytes(content)
        with pytest.raises(UserError, match="corrupt, or not a checkpoint"):
            keep()
    assert not Path("harm").exists()
