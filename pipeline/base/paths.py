"""Where the stages leave what later stages read."""

import os
from pathlib import Path

DATA = Path("data/mnist")
DATA_REPORT = Path("reports/data.json")

JUDGE = Path("models/judge.safetensors")
REFERENCE = Path("models/reference.safetensors")
JUDGE_REPORT = Path("reports/judge.json")

GENERATOR_BEST = Path("models/generator_best.safetensors")
GENERATOR_LAST = Path("models/generator_last.safetensors")
SAMPLES = Path("models/samples.npz")
RUN = Path("models/run.json")
STEPS = Path("reports/steps.csv")
EPOCHS = Path("reports/epochs.csv")
STOP = Path("reports/stop.json")

TUNE = Path("reports/tune")
REPLICATION = Path("reports/replication")

METRICS = Path("reports/metrics.json")
PLOTS = Path("reports/plots")
PAGE = Path("reports/report.html")
EXPORT = Path("export")
WEB = EXPORT / "web"  # in an output of DVC, which .dvcignore tells not to look at it

# A DVC experiment runs in a throwaway clone. What must outlive it (checkpoints, tracking) lies in
# the original repository, which DVC names.
ROOT = Path(os.environ.get("DVC_ROOT", ".")).resolve()
CHECKPOINTS = ROOT / "checkpoints"
OUTBOX = ROOT / ".tracking"
