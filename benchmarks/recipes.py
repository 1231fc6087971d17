"""The recipes that are measured, read without the pipeline's packages.

The Keras environment and a bare GPU machine have PyYAML, but not all that the commands need.
"""

from pathlib import Path

import yaml

from dcgan.params import TrainParams
from pipeline.base.params import Params

ROOT = Path(__file__).resolve().parent.parent


def default_params() -> Params:
    """All of params.yaml."""
    return Params.from_mapping(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))


def recipe(name: str, **changes: object) -> TrainParams:
    """A whole recipe of pipeline/recipes, as `python -m pipeline.recipe NAME` trains it, but for
    `changes`."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    named = (ROOT / f"pipeline/recipes/{name}.yaml").read_text(encoding="utf-8")
    values["train"] |= yaml.safe_load(named) | changes
    return Params.from_mapping(values).train
