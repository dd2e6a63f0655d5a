"""Check that this machine can run benchmarks/on_gpu.sh: the packages, a GPU with enough free memory, and the disk.

Everything that is missing is listed at once, and the exit status is then 1. This program needs Python alone.

Examples:
    python benchmarks/gpu_preflight.py --memory-gib 40 --out /tmp/records
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    *('torch', 'triton', 'mmengine', 'mmcv', 'cv2', 'scipy', 'skimage', 'einops', 'fvcore', 'msgspec', 'psutil'),
    *('rich', 'matplotlib', 'jinja2', 'markdown_it', 'pytest', 'xdist', 'hypothesis'),
)
GIB = 2**30
DISK_GIB = 2


def parse_args() -> argparse.Namespace:
    purpose, examples = __doc__.split('Examples:')
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=purpose, epilog=f'examples:{examples}', formatter_class=plain)
    parser.add_argument('--memory-gib', type=float, default=0, metavar='N', help='memory of the GPU that must be free')
    parser.add_argument(
        '--out', type=Path, default=Path(), metavar='DIR', help='where records are written (default: .)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    found = list(problems(args.memory_gib, args.out))
    if found:
        sys.exit('error: this machine cannot run the steps:\n' + '\n'.join(f'  {problem}' for problem in found))


def problems(memory_gib: float, out: Path) -> Iterator[str]:
    """Yield what is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        yield f'packages: {", ".join(missing)} cannot be imported; benchmarks/collect_wheels.sh collects them'
    disk = shutil.disk_usage(out).free / GIB
    if disk < DISK_GIB:
        yield f'disk: {disk:.1f} GiB are free in {out}, and the records and logs may need {DISK_GIB}'
    if 'torch' in missing:
        return
    import torch

    if not torch.cuda.is_available():
        yield f'GPU: PyTorch {torch.__version__} finds none'
        return
    free = torch.cuda.mem_get_info()[0] / GIB
    if free < memory_gib:
        yield f'memory: {free:.1f} GiB of {torch.cuda.get_device_name()} are free, and the steps need {memory_gib:.0f}'


if __name__ == '__main__':
    main()
