#!/usr/bin/env bash
# Runs on one GPU what needs one: the tests marked gpu, then every benchmark, each of which writes a record.
#
#   benchmarks/on_gpu.sh OUT [UPSTREAM]
#
# OUT is the folder for records and logs, UPSTREAM a clone of JingyunLiang/VRT; without it the comparison with the
# published code is left out. If a step fails, the others still run and the end names it. PYTHON names another
# interpreter. This takes about 20 minutes.
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
out=$1 upstream=${2:-} python=${PYTHON:-python3} failed=()
mkdir -p "$out"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# step NAME SECONDS COMMAND...
step() {
  local name=$1 limit=$2
  shift 2
  echo "== $name"
  timeout "$limit" "$@" > "$out/$name.log" 2>&1 || { failed+=("$name"); tail -n 5 "$out/$name.log"; }
}

baseline=configs/vrt_spike_baseline.py
changes=benchmarks/guide  # the configs of docs/guide.md, see benchmarks/guide/claims.yaml
eight=($baseline configs/vrt_spike_{opt,fast,amp,combined}.py
  $changes/{window_6,stage8_depth_4,stage2_depth_6,larger_chunks,no_stage1_fusion,plain_attention}.py)
v0=(configs/vrt_spike_v0.py $changes/v0_{conservative,aggressive,amp,combined}.py $baseline)
step tests 420 "$python" -m pytest -q -n0 -m gpu tests
for attention in sdpa flash; do
  step "amp_$attention" 180 "$python" tools/benchmark.py configs/vrt_spike_amp.py --shape 1 5 256 256 \
    --cfg-options "model.backbone.attn_type=$attention" --json "$out/amp_$attention.json"
done
step guide_eight 400 "$python" tools/benchmark.py "${eight[@]}" --shape 1 5 256 256 --stages --json "$out/cuda_eight.json"
step guide_v0 300 "$python" tools/benchmark.py "${v0[@]}" --shape 1 5 256 256 --stages --json "$out/cuda_v0.json"
step guide_memory 180 "$python" benchmarks/guide_memory.py --shape 5 256 256 --json "$out/cuda_eight_memory.json"
step growth 180 "$python" benchmarks/growth.py --sizes 64 128 256 512 --frames 2 6 12 24 --json "$out/growth.json"
step overhead 120 "$python" benchmarks/stage_cost_overhead.py --json "$out/overhead.json"
step overflow 120 "$python" benchmarks/amp_overflow.py configs/vrt_spike_tiny.py --out "$out/amp_overflow.json"
if [[ -n $upstream ]]; then
  step vs_upstream 420 "$python" benchmarks/vs_upstream.py --upstream "$upstream" --sizes 256 --frames 5 \
    --json "$out/vs_upstream.json"
fi
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}; the logs are in $out" >&2
  exit 1
fi
