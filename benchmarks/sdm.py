"""Measure the spike-guided deblurring model on the demo clips: windows by the spikes' noise against fixed windows.

A fixed window averages 16, 20 or 24 of the 64 steps with equal weights, smooths both rates by a Gaussian of 0.7 spike
pixels and adds 0.02 spikes per step to them. The spikes are also converted to those of cameras with 2 and 4 times the
threshold.

Examples:
    python benchmarks/sdm.py
    python benchmarks/sdm.py --out benchmarks/records/restoring/sdm.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from unittest import mock

import cv2
import numpy as np

import vrtspike.datasets.sdm
from vrtspike.cli import run_tool, tool_parser, write_result
from vrtspike.datasets import ClipDataset, DemoClips
from vrtspike.datasets.sdm import rate_ratio, sdm
from vrtspike.datasets.transforms.spikes import with_threshold
from vrtspike.metrics.restoration import finite_psnr
from vrtspike.runtime.environment import describe_environment

FACTORS = (1, 2, 4)
FIXED_STEPS = (16, 20, 24)
SPIKE_PIXELS, ADDED_RATE = 0.7, 0.02

Frame = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Blurred frame, sharp frame and the spikes of an exposure."""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--root', default='data/demo', help='folder of the demo clips (default: data/demo)')
    parser.add_argument('--out', default='-', metavar='JSON', help='write the record there (default: print it)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rows = [scores(args.root, split, factor) for split in ('train', 'val') for factor in FACTORS]
    record = {'demo_clips': rows, **describe_environment('cpu')}
    write_result(record, args.out)


def scores(root: str, split: str, factor: float) -> dict[str, float | str]:
    """Return the PSNR of the blurred frames and of every estimate, the mean over the frames of a split."""
    ratios = {'sdm': rate_ratio, **{f'fixed_{steps}': fixed_window(steps) for steps in FIXED_STEPS}}
    rows = []
    for blur, sharp, spikes in frames(root, split, factor):
        row = {'blur_psnr_db': finite_psnr(blur, sharp)}
        for name, ratio in ratios.items():
            with mock.patch.object(vrtspike.datasets.sdm, 'rate_ratio', ratio):
                row[f'{name}_psnr_db'] = finite_psnr(sdm(blur, spikes), sharp)
        rows.append(row)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {'split': split, 'threshold_factor': factor, 'frames': len(rows), **means}


def frames(root: str, split: str, factor: float) -> Iterator[Frame]:
    """Yield every frame of a split, with spikes of a camera of ``factor`` times the threshold."""
    clips, rng = ClipDataset(DemoClips(root), split, clip_len=5, pipeline=[], stride=5), np.random.default_rng(0)
    for i in range(len(clips)):
        clip = clips.read(i)
        for blur, sharp, spikes in zip(clip['blur'], clip['sharp'], clip['spikes'], strict=True):
            yield blur, sharp, spikes if factor == 1 else with_threshold(spikes, factor, rng)


def fixed_window(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the ratio of smoothed rates in the middle ``steps`` steps and in the whole exposure, as a function."""

    def ratio(spikes: np.ndarray) -> np.ndarray:
        start = (len(spikes) - steps) // 2
        rates = (part.mean(axis=0, dtype=np.float32) for part in (spikes[start : start + steps], spikes))
        middle, whole = (cv2.GaussianBlur(rate, (0, 0), SPIKE_PIXELS) + np.float32(ADDED_RATE) for rate in rates)
        return middle / whole

    return ratio


if __name__ == '__main__':
    run_tool(main)
