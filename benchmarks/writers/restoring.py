"""What tiles cost, how a long clip was restored, and what other thresholds cost, in docs/restore.md.

Tiles and thresholds are results.json of tools/test.py: benchmarks/zoo/tiny.json of whole clips,
benchmarks/tiling/tiny_tile64.json of the same in tiles (--tile 64 --overlap 16), and
benchmarks/records/restoring/thresholds.json of two networks, ``plain`` and ``random_threshold``, with --thresholds. The
long clip is benchmarks/records/restoring/long_clip.json, written by benchmarks/long_restore.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vrtspike.errors import VrtSpikeError
from writers.places import Place
from writers.wording import measured_on, read_record, table

PAGE = 'docs/restore.md'
NO_RECORD = 'No record yet.'
NETWORKS = {'plain': 'trained with the threshold of the data', 'random_threshold': 'trained with `RandomThreshold`'}
Record = dict[str, Any]


def places(root: Path) -> list[Place]:
    found = [
        Place(PAGE, 'tiling', tiling(root / 'benchmarks/zoo/tiny.json', root / 'benchmarks/tiling/tiny_tile64.json'))
    ]
    for name, text in {'long_clip': long_clip, 'thresholds': thresholds}.items():
        path = root / f'benchmarks/records/restoring/{name}.json'
        found.append(Place(PAGE, name, text(read_record(path)) if path.is_file() else NO_RECORD))
    return found


def tiling(whole_path: Path, tiled_path: Path) -> str:
    """Return the PSNR of every clip, whole and in tiles, and of their mean."""
    whole, tiled = read_record(whole_path), read_record(tiled_path)
    if whole['checkpoint_sha256'] != tiled['checkpoint_sha256']:
        raise VrtSpikeError(f'{whole_path} and {tiled_path} are of different checkpoints; test the same one twice')
    _, height, width = tiled['tiling']['tile']
    overlap = tiled['tiling']['overlap'][1]
    pairs = [(a['clip'], a, b) for a, b in zip(whole['clips'], tiled['clips'], strict=True)]
    pairs.append(('mean', whole['mean_of_clips'], tiled['mean_of_clips']))
    rows = [('clip', 'whole dB', f'tiles of {height} x {width}, --overlap {overlap}, dB', 'difference dB')]
    for name, a, b in pairs:
        before, after = a['psnr_db'], b['psnr_db']
        rows.append((name, f'{before:.3f}', f'{after:.3f}', f'{after - before:+.3f}'))
    return table(rows, 'lrrr')


def long_clip(record: Record) -> str:
    """Return a row for every run of the one restoring, and the PSNR of its frames."""
    headings = ('from frame', 'to frame', 'ended by', 's per frame', 'peak MiB', 'resident MiB after a quarter',
                'resident MiB at the end')  # fmt: skip
    height, width = record['size']
    options = ' '.join(['', *record['options']])
    return (
        f'`tools/restore.py {record["config"]} {record["checkpoint"]}{options}` on {record["frames"]:,} frames of '
        f'{height} x {width} ({measured_on(record)}):\n\n'
        f'{table([headings, *map(run_cells, record["runs"])], "rrlrrrr")}\n\n'
        f'The frames that have a sharp one score {record["psnr_db"]:.2f} dB restored and '
        f'{record["blur_psnr_db"]:.2f} dB blurred.'
    )


def run_cells(run: Record) -> tuple[str, ...]:
    """Return one run: which frames it restored, how it ended, what it took and held."""
    first, end = run['first_frame'], run['frames_at_end']
    quarter = min(run['readings'], key=lambda reading: abs(reading['frames'] - (3 * first + end) / 4))
    return (
        f'{first:,}',
        f'{end:,}',
        'kill' if run['exit_status'] else 'itself',
        f'{run["seconds"] / max(1, end - first):.2f}',
        f'{run["peak_mib"]:,.0f}',
        f'{quarter["resident_mib"]:,.0f}',
        f'{run["readings"][-1]["resident_mib"]:,.0f}',
    )


def thresholds(record: Record) -> str:
    """Return both networks' quality with the spikes of cameras of higher thresholds, and what of it is lost."""
    scores = {name: {each['factor']: each for each in results['thresholds']} for name, results in record.items()}
    factors = sorted({factor for found in scores.values() for factor in found})
    rows = [('network', *(f'dB at {factor:g}x{" (loss)" * (factor != 1)}' for factor in factors))]
    for name, label in NETWORKS.items():
        rows.append((f'`{record[name]["config"]}`, {label}', *(score(scores[name].get(factor)) for factor in factors)))
    where = '; '.join(dict.fromkeys(measured_on(results) for results in record.values()))
    return f'{table(rows, "l" + "r" * len(factors))}\n\n{where}.'


def score(found: Record | None) -> str:
    """Return a PSNR, and what is lost against the threshold of the data; nothing where it was not tested."""
    if found is None:
        return ''
    return f'{found["psnr_db"]:.2f}' + (f' ({found["loss_db"]:.2f})' if found['factor'] != 1 else '')
