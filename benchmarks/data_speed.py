"""Measure how fast spikes and clips are read on one core.

Spike files hold random bits. Clips have the sizes of GoPro-Spike, 1280 x 720 frames and 640 x 360 spikes of 56 steps,
and show a photograph of scikit-image. Files are in the page cache, so this measures decoding and not the disk. Times
are CPU time of one thread, which other jobs on the machine hardly change.

Examples:
    python benchmarks/data_speed.py
    python benchmarks/data_speed.py --out benchmarks/records/data/speed.json
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from vrtspike.cli import run_tool, tool_parser, write_result
from vrtspike.datasets import ClipDataset, ProcessedClips, SampleKey, Voxel, read_spike_dat, write_spike_dat
from vrtspike.datasets.color import encode_srgb
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.simulation.photographs import load_photograph
from vrtspike.runtime.device import processor_seconds
from vrtspike.runtime.environment import describe_environment

GPU_CLIPS_PER_S = 16
PIPELINE = [
    {'type': 'PairedRandomCrop', 'size': 256},
    {'type': 'PairedRandomFlip'},
    {'type': 'BinSpikes', 'representation': {'type': 'Voxel', 'bins': 32}},
    {'type': 'PackClip'},
]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--out', default='-', metavar='JSON', help='write the record there (default: print it)')
    parser.add_argument('--repeats', type=int, default=15, help='of every measurement (default: 15)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        record = {**spike_speed(Path(folder), args.repeats), **clip_speed(Path(folder), args.repeats)}
    record['repeats'] = args.repeats
    record['cores_for_16_clips_per_s'] = GPU_CLIPS_PER_S / record['clips_5x256x256_per_s_and_core']
    record |= describe_environment('cpu')
    write_result(record, args.out)


def spike_speed(folder: Path, repeats: int) -> dict[str, float]:
    """Measure reading 88 steps against the index-gathering reader, and reading and binning 56 steps."""
    rng = np.random.default_rng(0)
    for steps in (56, 88):
        write_spike_dat(folder / f'{steps}.dat', rng.integers(0, 2, (steps, 360, 640), dtype=np.uint8))
    voxel = Voxel(bins=32)
    ours, gathered = lambda: read_spike_dat(folder / '88.dat', 360, 640), lambda: gather(folder / '88.dat', 360, 640)
    np.testing.assert_array_equal(ours(), gathered())
    # Interleaved, so that both meet the same load of the machine.
    pairs = [(median_of(ours, 9), 1e3 * processor_seconds(gathered)) for _ in range(max(repeats // 3, 3))]
    return {
        'read_56x360x640_ms': median_of(lambda: read_spike_dat(folder / '56.dat', 360, 640), repeats),
        'read_and_voxelise_56x360x640_ms': median_of(
            lambda: voxel(read_spike_dat(folder / '56.dat', 360, 640)), repeats
        ),
        'read_88x360x640_ms': statistics.median(pair[0] for pair in pairs),
        'index_gathering_reader_88x360x640_ms': statistics.median(pair[1] for pair in pairs),
        'times_faster_than_index_gathering': statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def gather(path: Path, height: int, width: int) -> np.ndarray:
    """Read spikes with int64 indices of the byte and the bit of every pixel, as is common in Python."""
    data = np.fromfile(path, np.uint8)
    steps = len(data) // (height * width // 8)
    pixels = np.arange(steps * height * width).reshape(steps, height, width)
    bits = np.left_shift(1, np.mod(pixels, 8))
    return np.flip(np.bitwise_and(data[pixels // 8], bits) == bits, axis=1).astype(np.uint8)


def clip_speed(folder: Path, repeats: int) -> dict[str, float]:
    """Measure whole samples of 5 x 256 x 256, their parts, and what a worker copies of the data set."""
    dataset = ClipDataset(ProcessedClips(write_data_set(folder / 'clips')), 'train', pipeline=PIPELINE)
    ordinals = iter(range(10**9))
    per_clip = median_of(lambda: dataset[SampleKey(next(ordinals) % len(dataset), next(ordinals), 0)], repeats)
    frames = [path for kind in ('blur', 'sharp') for path in sorted(getattr(dataset.sequences[0], kind).iterdir())[:5]]
    images = median_of(lambda: [cv2.imread(str(path)) for path in frames], repeats)
    return {
        'clip_5x256x256_ms': per_clip,
        'of_which_decoding_its_10_images_ms': images,
        'clips_5x256x256_per_s_and_core': 1000 / per_clip,
        'data_set_pickled_bytes': len(pickle.dumps(dataset)),
    }


def write_data_set(root: Path) -> Path:
    """Write one sequence: a photograph that moves slightly from frame to frame, with spikes of its brightness."""
    rng = np.random.default_rng(0)
    photograph = cv2.resize(encode_srgb(load_photograph('motorcycle_left.png')), (1344, 784))
    photograph = np.rint(photograph * 255).astype(np.uint8)
    folders = {kind: root / 'train' / 'video' / kind for kind in ('blur', 'sharp', 'spike')}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for i in range(8):
        sharp = photograph[8 * i : 8 * i + 720, 8 * i : 8 * i + 1280]
        write_image(folders['sharp'] / f'{i}.png', sharp)
        write_image(folders['blur'] / f'{i}.png', cv2.blur(sharp, (15, 3)))
        light = float(((sharp / 255) ** 2.2).mean())
        write_spike_dat(folders['spike'] / f'{i}.dat', (rng.random((56, 360, 640)) < light).astype(np.uint8))
    (root / 'config.yaml').write_text('{spike_h: 360, spike_w: 640, threshold: 1.0}', encoding='utf-8')
    return root


def median_of(call: Callable[[], object], repeats: int) -> float:
    """Return the median milliseconds of a call after a warm-up."""
    call()
    return statistics.median(1e3 * processor_seconds(call) for _ in range(repeats))


if __name__ == '__main__':
    run_tool(main)
