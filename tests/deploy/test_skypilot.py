"""What deploy/skypilot.yaml wants to be given has no value that would do without."""

import yaml

from tests.project import REPOSITORY


def test_addresses_and_password_have_to_be_given() -> None:
    task = yaml.safe_load((REPOSITORY / "deploy/skypilot.yaml").read_text())
    assert task["envs"] == {"STORAGE": None, "MLFLOW_TRACKING_URI": None}
    assert task["secrets"] == {"PGPASSWORD": None}
