"""The tables of a test, for the terminal and the page: scores, thresholds, cost, stages."""

from __future__ import annotations

from typing import NamedTuple

from vrtspike.records.evaluation import EvaluationResults, Row
from vrtspike.records.stage_costs import PHASES
from vrtspike.reporting.table import Column, Table

PRINTED_CLIPS, PRINTED_FRAMES = 40, 5


class Score(NamedTuple):
    """A column of scores: its heading, the score's name and its format."""

    heading: str
    name: str
    spec: str


SCORES = (
    Score('blurred dB', 'blur_psnr_db', '.2f'),
    Score('restored dB', 'psnr_db', '.2f'),
    Score('gain dB', 'gain_db', '+.2f'),
    Score('blurred SSIM', 'blur_ssim', '.4f'),
    Score('restored SSIM', 'ssim', '.4f'),
    Score('Y dB', 'psnr_y_db', '.2f'),
    Score('Y SSIM', 'ssim_y', '.4f'),
    Score('TFP dB', 'tfp_psnr_db', '.2f'),
    Score('TFI dB', 'tfi_psnr_db', '.2f'),
    Score('SDM dB', 'sdm_psnr_db', '.2f'),
    Score('LPIPS', 'lpips', '.4f'),
    Score('blurred PIQE', 'blur_piqe', '.1f'),
    Score('PIQE', 'piqe', '.1f'),
    Score('blurred NIQE', 'blur_niqe', '.2f'),
    Score('NIQE', 'niqe', '.2f'),
    Score('blurred BRISQUE', 'blur_brisque', '.1f'),
    Score('BRISQUE', 'brisque', '.1f'),
)


def results_text(results: EvaluationResults) -> str:
    """Return the results as text: clips with both means, the frames that gained least, and the thresholds."""
    tables = [scores_table(results, PRINTED_CLIPS)]
    if results.worst_frames:
        tables.append(worst_frames_table(results))
    if len(results.thresholds) > 1:
        tables.append(thresholds_table(results))
    return '\n\n'.join(table.text() for table in tables)


def scores_table(results: EvaluationResults, max_clips: int | None = None) -> Table:
    """Return the scores of every clip (of the first ``max_clips``) and, below them, both means."""
    scores = [score for score in SCORES if score.name in results.mean_of_clips]
    rows = [[row['clip'], *_score_cells(row, scores)] for row in results.clips[:max_clips]]
    if len(rows) < len(results.clips):
        rows.append([f'and {len(results.clips) - len(rows)} more', *[''] * len(scores)])
    rows.append(['mean over frames', *_score_cells(results.mean_of_frames, scores)])
    return Table(
        title='Held-out clips' if results.protocol == 'published' else f'Held-out clips, protocol {results.protocol}',
        columns=['clip', *(score.heading for score in scores)],
        rows=rows,
        footer=['mean of clip means', *_score_cells(results.mean_of_clips, scores)],
    )


def _score_cells(row: Row, scores: list[Score]) -> list[str | None]:
    return [f'{row[score.name]:{score.spec}}' if score.name in row else None for score in scores]


def worst_frames_table(results: EvaluationResults) -> Table:
    """Return the frames that gained least."""
    rows = [
        (f'{each.clip}/{each.frame}', f'{each.blur_psnr_db:.2f}', f'{each.psnr_db:.2f}', f'{each.gain_db:+.2f}')
        for each in results.worst_frames[:PRINTED_FRAMES]
    ]
    columns = ['frame', 'blurred dB', 'restored dB', 'gain dB']
    return Table(title='Frames that gained least', columns=columns, rows=rows)


def thresholds_table(results: EvaluationResults) -> Table:
    """Return the PSNR at every threshold of the spike camera."""
    rows = [(f'{each.factor:g}', f'{each.psnr_db:.2f}', f'{each.loss_db:+.2f}') for each in results.thresholds]
    return Table(title='Threshold of the spike camera', columns=['times', 'restored dB', 'loss dB'], rows=rows)


def cost_table(results: EvaluationResults) -> Table:
    """Return what restoring cost, and what training cost where its report is known; without headings."""
    cost, training = results.cost, results.training or {}
    rows = [
        ('parameters', _quantity(cost.parameters, ',')),
        ('restoring', _quantity(cost.restore_ms_per_frame, '.0f', ' ms per frame')),
        ('peak memory of the test', _quantity(cost.peak_memory_mib, '.0f', ' MiB')),
        ('training', _quantity(training.get('iterations'), ',', ' iterations')),
        ('training time', _quantity(training.get('iteration_ms_median'), '.0f', ' ms per iteration')),
        ('peak memory of the training', _quantity(training.get('peak_memory_mib'), '.0f', ' MiB')),
        ('device', results.device['name']),
        ('torch', results.versions['torch']),
        ('checkpoint SHA-256', results.checkpoint_sha256),
    ]
    for each in results.thresholds[1:]:
        change = f'{each.psnr_db:.2f} dB ({-each.loss_db:+.2f})'
        rows.append((f'PSNR at {each.factor:g} times the threshold', change))
    known = [row for row in rows if row[1] is not None]
    return Table(title='Cost', columns=['', Column('', 'left')], rows=known)


def stages_table(results: EvaluationResults) -> Table | None:
    """Return what the stages cost in training, None where that was not measured."""
    stages = results.training_stages
    phases = [phase for phase in PHASES if any(getattr(stage, f'{phase}_ms') for stage in stages)]
    rows = []
    for stage in stages:
        times = (getattr(stage, f'{phase}_ms') for phase in phases)
        rows.append([stage.stage, *(f'{ms:.2f}' if ms else '' for ms in times), f'{stage.share:.1%}'])
    columns = ['stage', *(f'{phase} ms' for phase in phases), 'share']
    title = 'Cost of the stages in training, medians of an iteration'
    return Table(title=title, columns=columns, rows=rows) if rows else None


def _quantity(value: float | None, spec: str, unit: str = '') -> str | None:
    return None if value is None else f'{value:{spec}}{unit}'
