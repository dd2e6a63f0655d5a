"""The table of measured results in the READMEs, from the records of the runs.

A record is the report.json of a run, kept as benchmarks/records/<name>.json; its config is
configs/vrt_spike_<name>.py.
"""

from __future__ import annotations

from pathlib import Path

from vrtspike.errors import VrtSpikeError
from writers.places import Place
from writers.wording import device_name, read_records, table

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


def places(root: Path) -> list[Place]:
    rows = [cells(config, record) for config, record in by_config(root).items()]
    return [Place(page, 'results', table([headings, *rows], f'l{"r" * 9}lll')) for page, headings in HEADINGS.items()]


def by_config(root: Path) -> dict[str, dict]:
    """Return the records by the config that was trained, best first."""
    records = {}
    for path, record in read_records(root / 'benchmarks/records').items():
        config = f'configs/vrt_spike_{path.stem}.py'
        if not (root / config).is_file():
            raise VrtSpikeError(f'{path} has no config: expected {config}; name the record like its config')
        records[config] = record
    return dict(sorted(records.items(), key=lambda item: -item[1]['validation']['mean']['gain_db']))


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
        device_name(record['device']),
        record['versions']['torch'],
        f'{commit[:8]}{dirty and "-" + dirty}',
    )
