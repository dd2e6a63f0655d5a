"""Peak rates of GPUs as their makers state them: dense matrix products, without sparsity."""

from __future__ import annotations

import msgspec


class NominalPeak(msgspec.Struct, frozen=True, kw_only=True):
    """The stated peak of a device in one precision."""

    gmacs_per_s: float
    precision: str
    """'float32', 'tf32' (float32 products on tensor cores), 'bfloat16' or 'float16'."""
    source: str
    """Address of the datasheet."""


PRECISIONS = ('float32', 'tf32', 'bfloat16', 'float16')

_A100 = 'https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf'
_H100 = 'https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet'
_H200 = 'https://nvdam.widen.net/s/nb5zzzsjdf/hpc-datasheet-sc23-h200-datasheet-3002446'
_V100 = 'https://images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf'
_L40S = 'https://resources.nvidia.com/en-us-l40s/l40s-datasheet-28413'
_L4 = 'https://resources.nvidia.com/en-us-data-center-overview/l4-gpu-datasheet'
_A10 = 'https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/a10-datasheet.pdf'
_ADA = 'https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf'
_AMPERE = 'https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf'

TFLOPS: tuple[tuple[str, tuple[float | None, ...], str], ...] = (
    ('H100 PCIe', (51, 378, 756, 756), _H100),
    ('H100 NVL', (60, 417.5, 835, 835), _H100),
    ('H100', (67, 494.5, 989, 989), _H100),
    ('H200 NVL', (60, 417.5, 835, 835), _H200),
    ('H200', (67, 494.5, 989, 989), _H200),
    ('A100', (19.5, 156, 312, 312), _A100),
    ('V100-SXM2', (15.7, None, None, 125), _V100),
    ('V100-PCIE', (14, None, None, 112), _V100),
    ('L40S', (91.6, 183, 362, 362), _L40S),
    ('NVIDIA L4', (30.3, 60, 121, 121), _L4),
    ('NVIDIA A10', (31.2, 62.5, 125, 125), _A10),
    ('RTX 4090', (82.6, 82.6, 165.2, 165.2), _ADA),
    ('RTX 3090', (35.6, 35.6, 71, 71), _AMPERE),
)
"""Part of a device's name, TFLOP/s by PRECISIONS (16 bit accumulates in float32), and the source. The first that fits
counts. Where a datasheet states rates with sparsity, these are half of them."""


def nominal_peak(device_name: str, precision: str) -> NominalPeak | None:
    """Return the peak of a device whose name PyTorch gives, None if the table lacks the device or the precision."""
    for part, tflops, source in TFLOPS:
        if _names(part, device_name):
            rate = dict(zip(PRECISIONS, tflops, strict=True)).get(precision)
            return NominalPeak(gmacs_per_s=rate * 500, precision=precision, source=source) if rate else None
    return None


def _names(part: str, device_name: str) -> bool:
    """Whether a name contains the words of ``part``: L4 is no part of L40S, and RTX 3090 none of RTX 3090 Ti."""
    words, wanted = device_name.replace('-', ' ').split(), part.replace('-', ' ').split()
    starts = [i for i in range(len(words)) if words[i : i + len(wanted)] == wanted]
    return any(words[i + len(wanted) : i + len(wanted) + 1] not in (['Ti'], ['D'], ['Laptop']) for i in starts)
