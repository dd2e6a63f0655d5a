"""What the recipes gain, and what a long training holds, in docs/training.md, from benchmarks/records/training."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from vrtspike.experiments.statistics import interval
from writers.places import Place
from writers.wording import measured_on, read_records, table

#: Of each recipe: the plain runs, and those with the recipe.
RUNS = {'distillation': ('alone', 'taught'), 'progressive': ('throughout', 'progressive')}
TITLES = {
    'distillation': 'Distillation: a half-depth child of `{config}`, alone and taught by its parent',
    'progressive': "Progressive crops: `{config}` with the config's crops throughout, and with half of them for two "
    'thirds of the iterations',
}


def places(root: Path) -> list[Place]:
    records = {path.stem: record for path, record in read_records(root / 'benchmarks/records/training').items()}
    parts = [recipe_table(records[name]) for name in RUNS if name in records]
    parts += [memory_text(records['memory'])] if 'memory' in records else []
    parts += [overflow_text(records['amp_overflow'])] if 'amp_overflow' in records else []
    return [Place('docs/training.md', 'recipes', '\n\n'.join(parts) or 'No record yet.')]


def recipe_table(record: dict) -> str:
    """Return the seeds of a recipe side by side, and the mean difference with Student's 95 % interval."""
    plain, changed = (record['runs'][name] for name in RUNS[record['recipe']])
    names = RUNS[record['recipe']]
    rows = [('seed', *(f'{name}, dB (s)' for name in names), 'difference dB')]
    differences = []
    for before, after in zip(plain, changed, strict=True):
        differences.append(after['psnr_db'] - before['psnr_db'])
        cells = (f'{run["psnr_db"]:.2f} ({run["run_s"]:.0f})' for run in (before, after))
        rows.append((str(before['seed']), *cells, f'{differences[-1]:+.2f}'))
    found = interval(differences)
    ratio = mean(run['run_s'] for run in changed) / mean(run['run_s'] for run in plain)
    title = TITLES[record['recipe']].format(config=record['settings']['config'])
    return (
        f'**{title}**, {record["settings"]["iterations"]} iterations each ({measured_on(record)}):\n\n'
        f'{table(rows, "rrrr")}\n\n'
        f'{verdict(found)} On the mean {found["mean"]:+.2f} dB (95 %: {found["low"]:+.2f} to {found["high"]:+.2f}) at '
        f'{ratio:.2f} times the time of the whole run.'
    )


def verdict(found: dict) -> str:
    """Return in words what the interval of a difference says."""
    if found['low'] > 0:
        return 'It helps.'
    return 'It costs quality.' if found['high'] < 0 else 'The seeds do not tell whether it helps.'


def memory_text(record: dict) -> str:
    """Return how the memory of a long training grew in its second half."""
    growth = ', '.join(f'{value:+.1f} MiB ({kind})' for kind, value in record['growth_mib_per_1000_iterations'].items())
    readings = record['readings'][len(record['readings']) // 2 :]
    low, high = (extreme(reading['host_mib'] for reading in readings) for extreme in (min, max))
    return (
        f'**Memory** over {record["iterations"]:,} iterations of `{record["config"]}` ({measured_on(record)}): '
        f'{low:,.0f} to {high:,.0f} MiB resident in the second half, a slope of {growth} per 1,000 iterations.'
    )


def overflow_text(record: dict) -> str:
    """Return how many steps each precision and initial loss scale lost."""
    lost = '; '.join(f'{name}: {found["lost_steps"]}' for name, found in record['runs'].items())
    return (
        f'**Steps lost to overflow** in the first {record["iterations"]} iterations of `{record["config"]}` '
        f'({measured_on(record)}): {lost}.'
    )
