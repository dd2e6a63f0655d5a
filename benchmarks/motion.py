"""Measure how far the scenes of the demo clips move during one exposure, in pixels, from their exact optical flow.

Examples:
    python benchmarks/motion.py
    python benchmarks/motion.py --out benchmarks/records/data/motion.json
"""

from __future__ import annotations

import argparse

import numpy as np

from vrtspike.cli import run_tool, tool_parser, write_result
from vrtspike.datasets.simulation.demo import DemoRecipe, clip_rng, demo_scene
from vrtspike.runtime.environment import describe_environment

PERCENTILES = (10, 25, 50, 75, 90, 99, 100)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--out', default='-', metavar='JSON', help='write the record there (default: print it)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    recipe = DemoRecipe()
    record = {
        'size': recipe.size,
        'motion': [
            {'split': 'train', **percentiles(recipe, 'train', recipe.train_clips)},
            {'split': 'val', **percentiles(recipe, 'val', recipe.val_clips)},
        ],
        **describe_environment('cpu'),
    }
    write_result(record, args.out)


def percentiles(recipe: DemoRecipe, split: str, clips: int) -> dict[str, float | int]:
    """Return percentiles of the distance that a pixel's surface moves from the start to the end of an exposure."""
    lengths = []
    for index in range(clips):
        scene = demo_scene(clip_rng(recipe, split, index), recipe, split, index)
        lengths += [np.hypot(*scene.flow(frame, frame + 1)) for frame in range(recipe.frames)]
    found = np.percentile(lengths, PERCENTILES)
    return {'clips': clips, **{f'p{p}_pixels': float(value) for p, value in zip(PERCENTILES, found, strict=True)}}


if __name__ == '__main__':
    run_tool(main)
