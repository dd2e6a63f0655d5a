"""The report at the end of a training: quality of the held-out clips, time of an iteration, memory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median

from mmengine.dist import master_only
from mmengine.runner import Runner

from vrtspike.hooks.bad_samples_hook import MESSAGE_KEY
from vrtspike.hooks.iteration_clock import TimedHook, iteration_clock
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.profiling.parameters import count_parameters
from vrtspike.registry import HOOKS
from vrtspike.reporting.table import Table
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.distributed import unwrap_model
from vrtspike.runtime.environment import describe_environment

#: Names of the validation's scalars in ``report.json``.
JSON_NAMES = {
    'blur/psnr': 'blur_psnr_db',
    'psnr': 'psnr_db',
    'gain': 'gain_db',
    'blur/ssim': 'blur_ssim',
    'ssim': 'ssim',
    'tfp/psnr': 'tfp_psnr_db',
    'sdm/psnr': 'sdm_psnr_db',
}
FILE = 'report.json'
HEADINGS = ('blurred dB', 'restored dB', 'gain dB', 'blurred SSIM', 'restored SSIM', 'TFP dB', 'SDM dB')


@HOOKS.register_module()
class TrainingReportHook(TimedHook):
    """Logs a report after training and writes it to the run's folder as ``report.json``.

    ``report.json``: ``note``, ``iterations``, ``iterations_timed``, ``iteration_ms_median`` (forward pass, backward
    pass and step), ``data_ms_median`` (from the end of one iteration to the start of the next: waiting for data,
    logging), ``peak_memory_mib`` (allocated on the GPU that trains, or resident in the main process), ``parameters``,
    ``validation`` (``iteration``, ``mean`` and ``clips`` with ``blur_psnr_db``, ``psnr_db``, ``gain_db``,
    ``blur_ssim``, ``ssim`` and, if there are spikes, ``tfp_psnr_db`` and ``sdm_psnr_db``), ``skipped_samples`` (bad
    samples), ``versions``, ``device``, ``commit``. Values that were not measured are null. A resumed training that has
    no iteration left keeps the earlier file.

    Args:
        note: A line printed with the report, about what its numbers mean. ``{iterations}`` becomes their number.
        warmup: Number of first iterations left out of the medians.
        max_clips: Maximum number of clips in the logged table; the file has all of them.
    """

    gives = FILE
    # First of the hooks, before and after an iteration: its time excludes logging and saving, and the memory is read
    # before the logger resets the peak.
    priority = 'VERY_HIGH'

    def __init__(self, note: str = '', warmup: int = 1, max_clips: int = 20) -> None:
        self.note = note
        self.warmup = warmup
        self.max_clips = max_clips
        self.peak_memory_mib: float | None = None
        self.validation: dict | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Read the memory."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        device = next(runner.model.parameters()).device
        self.peak_memory_mib = max(peak_memory_mib(device) or 0, self.peak_memory_mib or 0) or None

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the means and rows of the latest validation."""
        super().after_val_epoch(runner, metrics)
        rows = [row for metric in runner.val_evaluator.metrics for row in getattr(metric, 'rows', [])]
        clips = [dict(clip=row['clip'], frames=row['frames'], **scores(row)) for row in rows]
        self.validation = {'iteration': runner.iter, 'mean': scores(metrics or {}), 'clips': clips}

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log the report and write the file."""
        path = Path(runner.work_dir, FILE)
        if not iteration_clock(runner).iterations and path.is_file():
            runner.logger.info(f'No iteration was trained: {path} keeps the report of the earlier training.')
            return
        report = self.report(runner)
        write_text(path, json.dumps(report, indent=2, allow_nan=False) + '\n')
        runner.logger.info(f'\n{report_text(report, self.max_clips)}\n\nWritten to {path}')

    def report(self, runner: Runner) -> dict:
        """Return the contents of ``report.json``."""
        model, clock = unwrap_model(runner.model), iteration_clock(runner)
        iteration_ms = clock.iteration_ms[self.warmup :]
        data_ms = clock.data_ms[max(self.warmup - 1, 0) :]  # the first iteration has none: nothing ended before it
        return dict(
            note=self.note.replace('{iterations}', str(runner.iter)),
            iterations=runner.iter,
            iterations_timed=len(iteration_ms),
            iteration_ms_median=_median(iteration_ms),
            data_ms_median=_median(data_ms),
            peak_memory_mib=self.peak_memory_mib,
            parameters=count_parameters(model),
            skipped_samples=runner.message_hub.get_info(MESSAGE_KEY, 0),
            validation=self.validation,
            **describe_environment(next(model.parameters()).device),
        )


def scores(values: dict) -> dict[str, float | None]:
    """Return the scalars in ``values`` under the report's names, with the gain; NaN and infinity become None."""
    values = dict(values)
    if 'psnr' in values and 'blur/psnr' in values:
        values['gain'] = values['psnr'] - values['blur/psnr']
    found = {name: values[key] for key, name in JSON_NAMES.items() if key in values}
    return {name: float(value) if math.isfinite(value) else None for name, value in found.items()}


def report_text(report: dict, max_clips: int) -> str:
    """Return the report as text: the table of clips, then one line per cost."""
    lines = [report['note']] if report['note'] else []
    if report['validation']:
        lines.append(validation_table(report['validation'], max_clips))
    lines.append(
        f'  iterations            {report["iterations"]}\n'
        f'  time per iteration    {_number(report["iteration_ms_median"], ".1f", " ms")} '
        f'(median of {report["iterations_timed"]}), data {_number(report["data_ms_median"], ".1f", " ms")}\n'
        f'  peak memory           {_number(report["peak_memory_mib"], ".0f", " MiB")} on {report["device"]["name"]}'
    )
    return '\n\n'.join(lines)


def validation_table(validation: dict, max_clips: int) -> str:
    """Return the table of blurred and restored clips, with the mean at the bottom."""
    clips = validation['clips']
    rows = [[row['clip'], *_cells(row)] for row in clips[:max_clips]]
    if len(clips) > max_clips:
        rows.append([f'and {len(clips) - max_clips} more', *[''] * len(HEADINGS)])
    title = f'Held-out clips after {validation["iteration"]} iterations'
    footer = ['mean', *_cells(validation['mean'])]
    return Table(title=title, columns=['clip', *HEADINGS], rows=rows, footer=footer).text()


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def _cells(row: dict) -> list[str | None]:
    formats = {name: '.4f' if name.endswith('ssim') else '.2f' for name in JSON_NAMES.values()}
    formats['gain_db'] = '+.2f'
    return [_number(row.get(name), formats[name]) for name in JSON_NAMES.values()]


def _number(value: float | None, spec: str, unit: str = '') -> str:
    return '-' if value is None else f'{value:{spec}}{unit}'
