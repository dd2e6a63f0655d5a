#!/usr/bin/env bash
# Runs on one GPU what needs one: the tests marked gpu, then the benchmarks, each of which writes a record.
#
#   benchmarks/on_gpu.sh OUT [--upstream DIR] [STEP...]
#   benchmarks/on_gpu.sh --list
#
# OUT is the folder for records and logs, DIR a clone of JingyunLiang/VRT, for the steps that compare with the published
# code. Without STEP every step runs; without DIR those that compare are left out. Before the first step, the script
# checks the packages, the memory of the GPU and the disk, and prints how long the steps may take. A step ends after at
# most eight minutes and writes at most eight files. If one fails, the others still run and the end names it. PYTHON
# names another interpreter.
set -uo pipefail

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }

absolute() { [[ $1 == /* ]] && echo "$1" || echo "$caller/$1"; }

caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
python=${PYTHON:-python3}
baseline=configs/vrt_spike_baseline.py
changes=benchmarks/guide  # the configs of docs/guide.md, see benchmarks/guide/claims.yaml
eight=($baseline configs/vrt_spike_{opt,fast,amp,combined}.py
  $changes/{window_6,stage8_depth_4,stage2_depth_6,larger_chunks,no_stage1_fusion,plain_attention}.py)
v0=(configs/vrt_spike_v0.py $changes/v0_{conservative,aggressive,amp,combined}.py $baseline)

# The steps in their order: seconds at most, GiB of GPU memory at most, and the command without its interpreter.
# The memory is on paper (see benchmarks/on_paper.py), with room to spare. The published network takes 153 GiB at 256 x 256
# pixels without checkpointing, so it is compared at 128 x 128, which is a quarter.
steps=()
declare -A seconds gib commands
step() {
  steps+=("$1") seconds[$1]=$2 gib[$1]=$3 commands[$1]="${*:4}"
}
step tests 470 8 -m pytest -q -n0 -m gpu tests
step amp_sdpa 180 36 tools/benchmark.py configs/vrt_spike_amp.py --shape 1 5 256 256 \
  --cfg-options model.backbone.attn_type=sdpa --json @OUT/amp_sdpa.json
step amp_flash 180 36 tools/benchmark.py configs/vrt_spike_amp.py --shape 1 5 256 256 \
  --cfg-options model.backbone.attn_type=flash --json @OUT/amp_flash.json
step guide_eight 470 40 tools/benchmark.py "${eight[@]}" --shape 1 5 256 256 --stages --json @OUT/cuda_eight.json \
  --cfg-options model.backbone.checkpointing=all
step guide_v0 400 40 tools/benchmark.py "${v0[@]}" --shape 1 5 256 256 --stages --json @OUT/cuda_v0.json
step guide_memory 240 64 benchmarks/guide_memory.py --shape 5 256 256 --json @OUT/cuda_eight_memory.json
step growth 180 16 benchmarks/growth.py --sizes 64 128 256 512 --frames 2 6 12 24 --json @OUT/growth.json
step overhead 180 8 benchmarks/stage_cost_overhead.py configs/vrt_spike_tiny.py --json @OUT/overhead.json
step overflow 240 8 benchmarks/amp_overflow.py configs/vrt_spike_tiny.py --out @OUT/amp_overflow.json
step vs_upstream_speed 470 64 benchmarks/vs_upstream.py --upstream @UPSTREAM --rows forward train --sizes 128 \
  --frames 5 --json @OUT/vs_upstream_speed.json
step vs_upstream_memory 240 64 benchmarks/vs_upstream.py --upstream @UPSTREAM --rows memory --sizes 128 --frames 5 \
  --json @OUT/vs_upstream_memory.json

[[ ${1:-} == --list ]] && { printf '%s\n' "${steps[@]}"; exit; }
[[ $# -lt 1 || $1 == -* ]] && { usage >&2; exit 2; }
out=$(absolute "$1") upstream='' chosen=()
shift
while (($#)); do
  if [[ $1 == --upstream ]]; then
    upstream=$(absolute "${2:?--upstream needs a folder}")
    shift 2
  elif [[ -n ${commands[$1]:-} ]]; then
    chosen+=("$1")
    shift
  else
    echo "error: there is no step '$1'; the steps are: ${steps[*]}" >&2
    exit 2
  fi
done
((${#chosen[@]})) || for name in "${steps[@]}"; do
  [[ -z $upstream && ${commands[$name]} == *@UPSTREAM* ]] || chosen+=("$name")
done

total=0 most=0
for name in "${chosen[@]}"; do
  if [[ -z $upstream && ${commands[$name]} == *@UPSTREAM* ]]; then
    echo "error: the step '$name' needs --upstream DIR, a clone of JingyunLiang/VRT" >&2
    exit 2
  fi
  ((total += seconds[$name]))
  ((gib[$name] > most)) && most=${gib[$name]}
done
mkdir -p "$out" || exit 1
echo "steps: ${chosen[*]}; they take at most $((total / 60)) minutes"
"$python" benchmarks/gpu_preflight.py --memory-gib "$most" --out "$out" || exit 1

failed=()
for name in "${chosen[@]}"; do
  echo "== $name"
  read -ra arguments <<< "${commands[$name]}"
  arguments=("${arguments[@]//@OUT/$out}")  # after the split, because a path may contain spaces
  arguments=("${arguments[@]//@UPSTREAM/$upstream}")
  timeout "${seconds[$name]}" "$python" "${arguments[@]}" > "$out/$name.log" 2>&1 ||
    { failed+=("$name"); tail -n 5 "$out/$name.log"; }
done
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}; the logs are in $out" >&2
  exit 1
fi
