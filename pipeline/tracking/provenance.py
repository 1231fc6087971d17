"""Where a run comes from: commit, experiment, machine."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch


def tags() -> dict[str, str]:
    """Tags that name the code and the machine of a run; git's part is left out without git."""
    tags = {
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }
    commit = _git("rev-parse", "HEAD")
    if commit:
        code = ("src", "pipeline", "dvc.yaml", "params.yaml")
        tags["mlflow.source.git.commit"] = commit
        tags["git_dirty"] = "yes" if _git("status", "--porcelain", "--", *code) else "no"
    if os.environ.get("DVC_EXP_NAME"):
        tags["dvc_experiment"] = os.environ["DVC_EXP_NAME"]
    return tags


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
