"""Single numbers from records, in the text of all pages: a name, the record, and how the number reads.

A page has ``<!--=name-->`` and ``<!--/-->`` around each. Settings, thresholds, definitions, published results and
examples of what a tool prints are no measurements and stand in the text as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from vrtspike.errors import VrtSpikeError, did_you_mean
from writers import counts
from writers.places import Place, figure_names, figures
from writers.wording import read_record

Record = dict[str, Any]


def percent(value: float) -> str:
    return f'{100 * value:.1f}'.replace('-', '−')


def lite(record: Record) -> Record:
    """Return the run of the light student that VRTLite's page tells about: the config as it is, with its own seed."""
    return record['runs']['throughout'][0]


def precision_db(record: Record) -> float:
    """Return what bfloat16 gains over float32 on the held-out clips."""
    exact, rounded = (record[name]['mean_of_clips']['psnr_db'] for name in ('float32', 'bfloat16'))
    return rounded - exact


def reference_gains(record: Record) -> list[float]:
    return [run['gain_db'] for run in record['variants'][0]['runs']]


FIGURES: dict[str, dict[str, Callable[[Record], str]]] = {
    'benchmarks/records/tiny.json': {
        'tiny.gain_db': lambda r: f'{r["validation"]["mean"]["gain_db"]:.1f}',
        'tiny.iterations': lambda r: f'{r["iterations"]}',
        'tiny.iteration_s': lambda r: f'{r["iteration_ms_median"] / 1000:.2f}',
        'tiny.threads': lambda r: f'{r["device"]["threads"]}',
    },
    'benchmarks/records/training/progressive.json': {
        'lite.iterations': lambda r: f'{r["settings"]["iterations"]}',
        'lite.gain_db': lambda r: f'{lite(r)["gain_db"]:.2f}',
        'lite.blur_psnr_db': lambda r: f'{lite(r)["psnr_db"] - lite(r)["gain_db"]:.2f}',
        'lite.psnr_db': lambda r: f'{lite(r)["psnr_db"]:.2f}',
        'lite.run_s': lambda r: f'{lite(r)["run_s"]:.0f}',
    },
    'benchmarks/records/restoring/precision.json': {
        'precision.bf16_db': lambda r: f'{precision_db(r):+.4f}'.replace('-', '−'),
    },
    'benchmarks/records/overhead/tiny.json': {
        'overhead.threads': lambda r: f'{r["device"]["threads"]}',
        'overhead.interval': lambda r: f'{r["interval"]}',
        'overhead.measured': lambda r: percent(r['ratio_measured_median'] - 1),
        'overhead.measured_low': lambda r: percent(r['ratio_measured_p2_5'] - 1),
        'overhead.measured_high': lambda r: percent(r['ratio_measured_p97_5'] - 1),
        'overhead.training': lambda r: percent(r['ratio_median'] - 1),
        'overhead.training_low': lambda r: percent(r['ratio_p2_5'] - 1),
        'overhead.training_high': lambda r: percent(r['ratio_p97_5'] - 1),
    },
    'benchmarks/records/analysis/million_samples.json': {
        'analysis.records': lambda r: f'{r["records"]:,}',
        'analysis.gib': lambda r: f'{r["gib"]:.1f}',
        'analysis.wall_s': lambda r: f'{r["wall_s"]:.1f}',
        'analysis.processor_s': lambda r: f'{r["processor_s"]:.1f}',
        'analysis.peak_mib': lambda r: f'{r["peak_rss_mib"]:.0f}',
        'analysis.cores': lambda r: f'{r["cores"]}',
        'analysis.load': lambda r: f'{r["load_average"]:.1f}',
    },
    'benchmarks/ablations/fusion_heads.json': {
        'residual_cnn.gain_least_db': lambda r: f'{min(reference_gains(r)):.1f}',
        'residual_cnn.gain_most_db': lambda r: f'{max(reference_gains(r)):.1f}',
        'residual_cnn.iterations': lambda r: f'{r["iterations"]}',
        'residual_cnn.training_s': lambda r: f'{r["iterations"] * r["variants"][0]["iteration_ms"] / 1000:.0f}',
    },
}
"""By record, and by name what a page shows of it."""


def places(root: Path) -> list[Place]:
    read = cache(read_record)
    values = {
        name: partial(shown, name, root / path, read, text)
        for path, texts in FIGURES.items()
        for name, text in texts.items()
    }
    known = {*values, *counts.values(root)}
    for page, names in figure_names(root).items():
        for name in names:
            if name not in known:
                raise VrtSpikeError(f'{page}: no figure is called {name!r}{did_you_mean(name, known)}')
    return figures(root, values)


def shown(name: str, path: Path, read: Callable[[Path], Record], text: Callable[[Record], str]) -> str:
    """Return a figure; an error where its record does not hold it."""
    try:
        return text(read(path))
    except (KeyError, IndexError, TypeError) as error:
        raise VrtSpikeError(f'{path}: nothing to make {name!r} of ({error!r}); see FIGURES in {__file__}') from error
