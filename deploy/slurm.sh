#!/bin/bash
# Workers of one search on a Slurm cluster, one for each task of the array:
#
#   export STORAGE=postgresql+psycopg://gan@HOST/tune MLFLOW_TRACKING_URI=http://HOST:5000
#   sbatch deploy/slurm.sh
#
# from the root of the project, on a file system that the nodes share, after `make setup` and
# `dvc repro judge` there. The password of the database belongs in ~/.pgpass.
#SBATCH --job-name=gan-tune
#SBATCH --array=0-3
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --output=slurm-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
# SIGTERM two minutes before the time is over, to this script (B:) and not to its children.
#SBATCH --signal=B:TERM@120
set -euo pipefail

: "${STORAGE:?export it: postgresql+psycopg://gan@HOST/tune}"
: "${MLFLOW_TRACKING_URI:?export it: http://HOST:5000}"

# Slurm runs a copy of this file; the project is where sbatch was called.
cd "${SLURM_SUBMIT_DIR:?this is run by sbatch}"
export PATH="$PWD/.venv/bin:$PATH" MLFLOW_DISABLE_TELEMETRY=true

python -m pipeline.tune --join --storage "$STORAGE" --workers 1 &
worker=$!

# bash runs a trap only when no child is waited for in the foreground, so the worker is not. On
# SIGTERM it puts its trial back, to go on from its checkpoint, and ends.
told_to_end=false
trap 'told_to_end=true; kill -TERM "$worker" 2>/dev/null || true' TERM

status=0
wait "$worker" || status=$?
if $told_to_end; then
    # The first `wait` was ended by the signal; this one is for the worker.
    status=0
    wait "$worker" || status=$?
    # The same task again, if the search is not over: it joins once more.
    if [ "$status" -ne 0 ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    fi
fi
exit "$status"
