#!/usr/bin/env bash
# Train on several GPUs of one machine or of many (without GPUs: in several processes, by gloo).
#
#     tools/dist_train.sh configs/vrt_spike_baseline.py 4 --amp
#     NNODES=2 NODE_RANK=0 MASTER_ADDR=node0 tools/dist_train.sh configs/vrt_spike_baseline.py 8    # on node0
#     NNODES=2 NODE_RANK=1 MASTER_ADDR=node0 tools/dist_train.sh configs/vrt_spike_baseline.py 8    # on node1
#
# Further variables: PORT (29500), PYTHON (python).
set -euo pipefail
if [[ $# -lt 2 ]]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    echo "usage: tools/dist_train.sh CONFIG PROCESSES_PER_MACHINE [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" \
    --node-rank "${NODE_RANK:-0}" \
    --nproc-per-node "$processes" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" \
    --master-port "${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
