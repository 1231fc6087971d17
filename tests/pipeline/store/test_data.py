from pathlib import Path

import pytest

from dcgan import mnist
from pipeline.base.cli import UserError, write_json
from pipeline.base.paths import DATA, DATA_REPORT
from pipeline.store.data import load_data
from tests.idx import write_idx_dataset


@pytest.fixture(autouse=True)
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a project whose digits were fetched."""
    monkeypatch.chdir(tmp_path)
    write_idx_dataset(DATA, train=20, test=10)
    write_json(DATA_REPORT, {"source": "path", "hash": mnist.data_hash(DATA)})


def refusal() -> str:
    with pytest.raises(UserError) as caught:
        load_data()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_digits_that_were_fetched_are_loaded() -> None:
    assert load_data().train_images.shape == (20, 28, 28)


@pytest.mark.parametrize("name", mnist.FILES)
def test_a_bit_that_flipped_after_fetch_is_noticed(name: str) -> None:
    content = bytearray((DATA / name).read_bytes())
    content[-1] ^= 1  # still a whole IDX file, of other digits
    (DATA / name).write_bytes(content)
    mnist.load(DATA)
    said = refusal()
    assert said.startswith("data/mnist: changed after it was fetched")
    assert "reports/data.json" in said
    assert "`dvc repro -f fetch`" in said


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"[]", b"{}", b"3"])
def test_without_a_report_to_check_against_the_stage_that_makes_it_is_named(
    content: bytes | None,
) -> None:
    DATA_REPORT.unlink()
    if content is not None:
        DATA_REPORT.write_bytes(content)
    said = refusal()
    assert said.startswith(f"{DATA_REPORT}: {'missing' if content is None else 'corrupt'}; ")
    assert "`dvc repro fetch` makes it" in said


@pytest.mark.parametrize("name", mnist.FILES)
def test_a_missing_or_broken_file_is_named(name: str) -> None:
    (DATA / name).write_bytes(b"half")
    assert refusal().startswith(f"{DATA / name}: ")
    (DATA / name).unlink()
    assert refusal() == f"{DATA / name}: missing; `dvc repro fetch` brings it"
