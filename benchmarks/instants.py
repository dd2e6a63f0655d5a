"""Train a network at random instants of the exposure and one in its middle alone, and record both at every instant.

Both have the same config, data and iterations. A training whose report exists in the work folder is not repeated.

Examples:
    python benchmarks/instants.py --work-dir work_dirs/instants --out benchmarks/records/training/instants.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from vrtspike.cli import run_tool, tool_parser
from vrtspike.reporting.instant_curve import plot
from vrtspike.runtime.atomic_write import write_json

TRAIN = Path(__file__).resolve().parents[1] / 'tools/train.py'
#: Overrides of each training.
TRAININGS = {'random': [], 'middle': ['train_dataloader.dataset.instants=[0.5]']}
SCORES = ('psnr_db', 'sdm_psnr_db', 'blur_psnr_db')


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--config', default='configs/residual_cnn_instants.py')
    parser.add_argument('--work-dir', type=Path, required=True, metavar='D', help='where the demo and the runs go')
    parser.add_argument('--out', type=Path, required=True, metavar='JSON')
    parser.add_argument('--plot', type=Path, metavar='PNG', help='also draw the curves')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    record = {'config': args.config, 'trainings': {}}
    for name, overrides in TRAININGS.items():
        folder = args.work_dir / name
        if not (folder / 'report.json').is_file():
            command = [sys.executable, str(TRAIN), args.config, '--work-dir', str(folder), '--cfg-options']
            subprocess.run([*command, f'data.root={args.work_dir / "demo"}', *overrides], check=True)
        report = json.loads((folder / 'report.json').read_text(encoding='utf-8'))
        kept = {key: report[key] for key in ('iterations', 'parameters', 'versions', 'device', 'commit')}
        record['trainings'][name] = {'overrides': overrides, **kept, 'instants': scores_at_instants(report)}
    record['summary'] = summary({name: each['instants'] for name, each in record['trainings'].items()})
    write_json(args.out, record)
    print(json.dumps(record['summary'], indent=2))
    if args.plot:
        plot({name: curve_of(each['instants']) for name, each in record['trainings'].items()}, args.plot)


def scores_at_instants(report: dict) -> list[dict[str, float]]:
    """Return the scores at each instant, the means over the held-out clips of a training's report."""
    rows = defaultdict(list)
    for row in report['validation']['clips']:
        rows[float(row['clip'].rpartition('@')[2])].append(row)
    return [
        {'instant': instant, **{name: mean(row[name] for row in rows[instant]) for name in SCORES}}
        for instant in sorted(rows)
    ]


def curve_of(instants: list[dict[str, float]]) -> dict[float, float]:
    """Return the PSNR by instant."""
    return {each['instant']: each['psnr_db'] for each in instants}


def summary(trainings: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return what training at random instants costs in the middle, and how much each PSNR varies."""
    curves = {name: curve_of(instants) for name, instants in trainings.items()}
    varies = {f'{name}_varies_db': max(curve.values()) - min(curve.values()) for name, curve in curves.items()}
    return {'loss_in_the_middle_db': curves['middle'][0.5] - curves['random'][0.5], **varies}


if __name__ == '__main__':
    run_tool(main)
