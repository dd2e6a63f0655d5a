#!/usr/bin/env bash
# Collects the wheels that a GPU machine without a package index lacks, if it has PyTorch, torchvision, Triton, einops,
# OpenCV, SciPy, scikit-image, rich, matplotlib and pytest.
#
#   benchmarks/collect_wheels.sh FOLDER [PYTHON_VERSION]
#
# PYTHON_VERSION is that of the GPU machine (default: 3.12), which runs Linux on x86-64. There, from the repository:
#
#   python3 -m pip install --no-index --no-deps --target .site FOLDER/*.whl
#   export PYTHONPATH=$PWD/.site:$PWD
#
# PYTHON names the interpreter that collects.
set -euo pipefail

if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
folder=$1 version=${2:-3.12} python=${PYTHON:-python3}

"$python" -m pip download -q --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
  --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 -d "$folder" \
  onedl-mmengine addict yapf termcolor platformdirs iopath yacs portalocker msgspec psutil \
  tabulate pytest-xdist execnet hypothesis sortedcontainers
# These two have sources only. Without its operators mmcv is pure Python, and so is good for any version.
MMCV_WITH_OPS=0 "$python" -m pip wheel -q --no-cache-dir --no-deps -w "$folder" onedl-mmcv fvcore
for name in onedl_mmcv fvcore; do
  compgen -G "$folder/$name-*-none-any.whl" > /dev/null || { echo "error: the wheel of $name is not pure" >&2; exit 1; }
done
ls "$folder"
