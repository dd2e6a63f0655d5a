#!/usr/bin/env bash
# Train under SLURM; when its time runs out, the job saves a checkpoint, queues itself again, and resumes.
#
#     sbatch --nodes 2 --ntasks-per-node 8 --gres gpu:8 --cpus-per-task 6 --time 24:00:00 \
#         tools/slurm_train.sh configs/vrt_spike_baseline.py --work-dir /shared/runs/baseline --amp
#
# Give --work-dir a folder that all machines see. Further variables: MASTER_PORT (29500), PYTHON (python).
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=USR1@180
set -euo pipefail
if [[ $# -lt 1 || -z "${SLURM_JOB_ID:-}" ]]; then
    sed -n '2,/^#SBATCH/{/^#SBATCH/d;s/^# \{0,1\}//;p}' "$0" >&2
    echo "usage: sbatch [options] tools/slurm_train.sh CONFIG --work-dir DIR [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
shift
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT="${MASTER_PORT:-29500}"
status=0
# sbatch runs a copy of this script, so the tool is looked up in the folder where the job was submitted.
srun --kill-on-bad-exit=0 "${PYTHON:-python}" "${SLURM_SUBMIT_DIR:-.}/tools/train.py" "$config" \
    --launcher slurm --resume auto "$@" || status=$?
if [[ $status -eq 75 ]]; then # stopped by a signal, with a checkpoint
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
