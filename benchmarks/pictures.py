"""Draw the pictures of docs/images that show records: each is drawn anew from the record of the run that it shows.

docs/images/report.png is the report of a training, docs/images/ablation_fusion_heads.png an ablation.

Examples:
  python benchmarks/pictures.py
  python benchmarks/pictures.py --out /tmp/images
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from vrtspike.analysis.report import Report
from vrtspike.cli import run_tool, tool_parser
from vrtspike.experiments.quality_plot import plot
from vrtspike.experiments.record import AblationRecord
from vrtspike.reporting.report_plots import save_picture

BENCHMARKS = Path(__file__).resolve().parent
PICTURES = {
    'report.png': ('records/analysis/tiny.json', Report, save_picture),
    'ablation_fusion_heads.png': ('ablations/fusion_heads.json', AblationRecord, plot),
}
"""By file: its record, what that is, and what draws it."""


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--out', type=Path, default=BENCHMARKS.parent / 'docs/images', help='folder of the pictures')
    args = parser.parse_args()
    for name, (record, kind, draw) in PICTURES.items():
        draw(msgspec.json.decode((BENCHMARKS / record).read_bytes(), type=kind), args.out / name)
        print(f'wrote {args.out / name}')


if __name__ == '__main__':
    run_tool(main)
