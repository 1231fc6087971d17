"""The thresholds of the package and those of params.yaml are the same."""

import dataclasses
from pathlib import Path

import pytest

from ganverdict.thresholds import Thresholds
from pipeline.base.cli import load_params

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def test_the_pipeline_s_thresholds_are_the_package_s_defaults() -> None:
    assert dataclasses.asdict(load_params(PARAMS).stability) == dataclasses.asdict(Thresholds())


def test_a_threshold_out_of_bounds_is_named() -> None:
    with pytest.raises(ValueError, match=r"^min_share: 1\.5 is not allowed; it must be a number"):
        Thresholds(min_share=1.5)
