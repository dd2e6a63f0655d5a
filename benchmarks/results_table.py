"""Write the table of measured results into the READMEs, from the records of the runs.

A record is the report.json of a run, kept as benchmarks/records/<name>.json; its config is
configs/vrt_spike_<name>.py.

Examples:
    python benchmarks/results_table.py
    python benchmarks/results_table.py --check
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADINGS = {
    'README.md': (
        'command', 'iterations', 'parameters', 'blurred dB', 'restored dB', 'gain dB', 'blurred SSIM', 'restored SSIM',
        'ms / iteration', 'peak MiB', 'device', 'torch', 'commit',
    ),
    'README_zh-CN.md': (
        '命令', '迭代数', '参数量', '模糊输入 dB', '复原结果 dB', '提升 dB', '模糊输入 SSIM', '复原结果 SSIM',
        '毫秒 / 迭代', '峰值内存 MiB', '设备', 'torch', '提交',
    ),
}  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a table is out of date')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    records = read_records(args.root)
    stale = [name for name in HEADINGS if update(args.root / name, table(records, HEADINGS[name]), args.check)]
    if args.check and stale:
        sys.exit(f'{", ".join(stale)}: the results are not those of benchmarks/records; '
                 'run python benchmarks/results_table.py')  # fmt: skip


def read_records(root: Path) -> dict[str, dict]:
    """Return the records by the config that was trained, best first."""
    records = {}
    for path in sorted((root / 'benchmarks/records').glob('*.json')):
        config = f'configs/vrt_spike_{path.stem}.py'
        if not (root / config).is_file():
            sys.exit(f'{path} has no config: expected {config}; name the record like its config')
        records[config] = json.loads(path.read_text(encoding='utf-8'))
    return dict(sorted(records.items(), key=lambda item: -item[1]['validation']['mean']['gain_db']))


def table(records: dict[str, dict], headings: tuple[str, ...]) -> str:
    """Return the records as a Markdown table, one row each; only the headings where there are none."""
    rows = [headings, ('---', *['--:'] * 9, *['---'] * 3)]
    rows += [cells(config, record) for config, record in records.items()]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def cells(config: str, record: dict) -> tuple[str, ...]:
    """Return one row: quality first, then cost, then on what it was measured."""
    mean = record['validation']['mean']
    commit, _, dirty = record['commit'].partition('-')
    return (
        f'`python tools/train.py {config}`',
        f'{record["iterations"]:,}',
        f'{record["parameters"]:,}',
        f'{mean["blur_psnr_db"]:.2f}',
        f'{mean["psnr_db"]:.2f}',
        f'{mean["gain_db"]:+.2f}',
        f'{mean["blur_ssim"]:.4f}',
        f'{mean["ssim"]:.4f}',
        f'{record["iteration_ms_median"]:.0f}',
        f'{record["peak_memory_mib"]:.0f}',
        device(record['device']),
        record['versions']['torch'],
        f'{commit[:8]}{dirty and "-" + dirty}',
    )


def device(found: dict) -> str:
    """Return the device's name, with the number of threads that computed on a CPU."""
    return f'{found["name"]}, {found["threads"]} threads' if 'threads' in found else found['name']


def update(readme: Path, text: str, check: bool, name: str = 'results') -> bool:
    """Put ``text`` between the markers ``name`` of ``readme`` unless only asked to check; return whether it differs."""
    begin, end = f'<!-- {name}:begin -->', f'<!-- {name}:end -->'
    old = readme.read_text(encoding='utf-8')
    if old.count(begin) != 1 or old.count(end) != 1:
        sys.exit(f'{readme} needs {begin} and {end} once each, to say where the text goes')
    before, rest = old.split(begin)
    after = rest.split(end)[1]
    new = f'{before}{begin}\n{text}\n{end}{after}'
    if new != old and not check:
        readme.write_text(new, encoding='utf-8')
    return new != old


if __name__ == '__main__':
    main()
