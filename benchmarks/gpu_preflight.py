"""Check that this machine can run benchmarks/on_gpu.sh: the packages, a GPU with enough free memory, and the disk.

Everything that is missing is listed at once, and the exit status is then 1.

Examples:
    python benchmarks/gpu_preflight.py --memory-gib 40 --out /tmp/records
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser

PACKAGES = ('mmengine', 'mmcv', 'cv2', 'skimage', 'einops', 'fvcore', 'pytest', 'triton')
DISK_GIB = 2


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--memory-gib', type=float, default=0, metavar='N', help='memory of the GPU that must be free')
    parser.add_argument(
        '--out', type=Path, default=Path(), metavar='DIR', help='where records are written (default: .)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.errors import ConfigError

    found = list(problems(args.memory_gib, args.out))
    if found:
        raise ConfigError('this machine cannot run the steps:\n' + '\n'.join(f'  {problem}' for problem in found))


def problems(memory_gib: float, out: Path) -> Iterator[str]:
    """Yield what is missing."""
    import torch

    from vrtspike.runtime.device import MIB, free_memory

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        yield f'packages: {", ".join(missing)} cannot be imported; docs/speed.md says how to bring them'
    disk = shutil.disk_usage(out).free / 2**30
    if disk < DISK_GIB:
        yield f'disk: {disk:.1f} GiB are free in {out}, and the records and logs may need {DISK_GIB}'
    if not torch.cuda.is_available():
        yield f'GPU: PyTorch {torch.__version__} finds none'
        return
    free = free_memory(torch.device('cuda')) / MIB / 1024
    if free < memory_gib:
        yield f'memory: {free:.1f} GiB of {torch.cuda.get_device_name()} are free, and the steps need {memory_gib:.0f}'


if __name__ == '__main__':
    run_tool(main)
