"""Findings: what stands out in a report, what to try, and the config lines that do it.

The lines of a finding make a valid config below ``_base_ = './vrt_spike_baseline.py'``. Lists replace those of the
parent as a whole, so adapt them to your own config. The advice comes from the catalogue of candidates. A change cannot
save more than its stage costs, which a finding states; measure what it does save with ``compare``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from vrtspike.analysis.facts import by_mean, mib, share_of, unsynchronised, uses_lower_precision, what_was_timed
from vrtspike.candidates import Candidate, Purpose, Setting, catalogue
from vrtspike.candidates.baseline import BASELINE
from vrtspike.candidates.candidate import config_lines
from vrtspike.records.stage_costs import LAUNCH_BOUND_FROM, WITHOUT_DEVICE

if TYPE_CHECKING:
    from vrtspike.analysis.report import Report
    from vrtspike.analysis.statistics.roofline import RooflinePoint
    from vrtspike.analysis.statistics.stage_shares import Bottleneck

DATA_SHARE = 0.05
RECOMPUTE_SHARE = 0.10
OPTIMIZER_SHARE = 0.10
COMMUNICATION_SHARE = 0.10
OTHER_SHARE = 0.05
HOST_BOUND_SHARE = 0.05
DRIFT = 0.03
OUTLIER_FRACTION = 0.01
RANK_SKEW = 1.05
STAGE_SHARE = 0.15

MODEL_STAGES = r'stage[1-8]|fuse\d*|tsa|spike_encoder|flow'
"""Stages whose own share is a finding; the others have rules of their own."""

GENERAL = ('amp', 'compile', 'larger_batch', 'keep_activations', 'checkpointing_none')
"""Candidates that make all stages cheaper alike: advised where their own condition holds."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that stands out.

    Args:
        kind: A short name of the rule.
        title: What was found.
        evidence: The numbers.
        advice: What to try; ``remedy`` in JSON.
        config: Config lines that do it.
        saves_at_most: Share of the iteration that would be gone if its cause cost nothing; None where the finding is
            not about time.
    """

    kind: str
    title: str
    evidence: str
    advice: str = msgspec.field(name='remedy')
    config: list[str] = []
    saves_at_most: float | None = None


def findings(report: Report) -> list[Finding]:
    """Return all findings: problems of the result first, then the largest possible saving."""
    found = [finding for rule in RULES for finding in rule(report)]
    return sorted(found, key=lambda finding: -math.inf if finding.saves_at_most is None else -finding.saves_at_most)


def candidates_for(report: Report, stage: str | None = None, recomputed: Sequence[str] = ()) -> dict[str, Candidate]:
    """Return the candidates that have a note for the user, by name.

    The report knows how large the batch was, but not the config. The baseline stands in for the rest of it.

    Args:
        report: The run's report.
        stage: Return only what makes this stage cheaper, without what makes all stages cheaper alike.
        recomputed: The stages whose recomputation takes longest, the longest first.
    """
    clips = round(report.batch.clips or 1)
    setting = Setting(
        config=BASELINE | {'train_dataloader': BASELINE['train_dataloader'] | {'batch_size': clips}},
        device='cuda',
        shares={stage: 1.0} if stage else {},
        recomputed=recomputed,
    )
    found = {each.name: each for each in catalogue(setting, Purpose.STEP_TIME, Purpose.TRAINING) if each.note}
    if stage is None:
        return found
    return {name: each for name, each in found.items() if each.affects(stage) and name not in GENERAL}


def notes_of(candidates: Iterable[Candidate]) -> str:
    """Return what candidates do, each sentence once."""
    return ' '.join(dict.fromkeys(candidate.note for candidate in candidates))


def lines_of(candidates: Iterable[Candidate]) -> list[str]:
    """Return the config lines of candidates."""
    return [line for candidate in candidates for line in config_lines(candidate.overrides)]


def not_finite(report: Report) -> Iterator[Finding]:
    """Find losses that are no numbers."""
    stability = report.stability
    if stability.losses_not_finite:
        yield Finding(
            kind='not_finite',
            title='The loss was not finite',
            evidence=f'{stability.losses_not_finite} times, first at iteration {stability.first_not_finite_iteration}',
            advice='Compute in bfloat16, which has the range of float32. Clip gradients harder, and warm up longer or '
            'at a lower rate.',
            config=[
                "optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='bfloat16', clip_grad=dict(max_norm=0.5), "
                'optimizer=dict(lr=5e-5))'
            ],
        )


def not_converging(report: Report) -> Iterator[Finding]:
    """Find a loss that does not fall and frames that are worse than the blurred ones."""
    loss = report.convergence
    if loss and loss.trend != 'falling':
        yield Finding(
            kind='loss',
            title='The loss rises' if loss.trend == 'rising' else 'The loss does not fall significantly',
            evidence=f'median {loss.start:.4g} in the first tenth, {loss.end:.4g} in the last quarter, '
            f'lower in {loss.lower:.0%} of pairs',
            advice='Train longer before judging; then try another learning rate.',
            config=['train_cfg = dict(max_iters=120_000)', 'optim_wrapper = dict(optimizer=dict(lr=2e-4))'],
        )
    quality = report.validation
    if 'psnr' in quality and 'blur/psnr' in quality:
        gain = quality['psnr'].last - quality['blur/psnr'].last
        if gain < 0:
            yield Finding(
                kind='gain',
                title='Restored frames are worse than the blurred ones',
                evidence=f'PSNR {quality["psnr"].last:.2f} dB, of the input {quality["blur/psnr"].last:.2f} dB',
                advice='Look at the images that the run saved, check the data, and start with a lower learning rate.',
                config=['optim_wrapper = dict(optimizer=dict(lr=5e-5))'],
            )


def not_synchronised(report: Report) -> Iterator[Finding]:
    """Find times that were read from the host clock."""
    if unsynchronised(report):
        yield Finding(
            kind='measure',
            title='These times cannot rank stages',
            evidence='they come from the host clock and cover the forward pass alone',
            advice='Measure before changing anything: train some iterations here and analyse the run.',
            config=[
                'default_hooks = dict(stage_cost=dict(interval=10))',
                'train_cfg = dict(max_iters=200)',
            ],
        )


def costly(
    kind: str, title: str, share: float, candidates: Collection[Candidate], detail: str = '', advice: str | None = None
) -> Finding:
    """Return the finding about a share of the iteration, with the candidates that reduce it.

    Args:
        kind: Of the finding.
        title: Of the finding.
        share: Fraction of the iteration, which is also the most that can be saved.
        candidates: What to try.
        detail: Continues the evidence after the share.
        advice: Replaces the notes of the candidates.
    """
    return Finding(
        kind=kind,
        title=title,
        evidence=f'{share:.1%} of the iteration{detail}',
        advice=advice or notes_of(candidates),
        config=lines_of(candidates),
        saves_at_most=share,
    )


def waiting_for_data(report: Report) -> Iterator[Finding]:
    """Find iterations that wait for their batch."""
    share = share_of(report, 'data')
    if share >= DATA_SHARE:
        yield costly('data', 'Training waits for data', share, [candidates_for(report)['prefetching']])


def recomputation(report: Report) -> Iterator[Finding]:
    """Find forward work that is repeated to save memory."""
    share = report.phase_shares.get('recompute', 0.0)
    if share >= RECOMPUTE_SHARE:
        known = candidates_for(report, recomputed=by_mean(report, 'recompute_ms'))
        fewer = [known[name] for name in ('keep_activations', 'checkpointing_none') if name in known]
        detail = f' is recomputation; peak memory {mib(report.memory.peak_mib)}'
        yield costly('recompute', 'Checkpointing repeats forward work', share, fewer, detail)


def costly_stages(report: Report) -> Iterator[Finding]:
    """Find stages that take a large share, and say whether they are big or inefficient."""
    general = candidates_for(report)
    for entry in report.bottlenecks:
        if entry.share < STAGE_SHARE:
            return
        cheaper = list(candidates_for(report, entry.stage).values())
        if not cheaper or not re.fullmatch(MODEL_STAGES, entry.stage):
            continue
        advice, config = notes_of(cheaper), lines_of(cheaper)
        if any(isinstance(value, list) for each in cheaper for value in each.overrides.values()):
            advice += ' (The lists are those of the baseline: adapt yours in the same way.)'
        roof = report.roofline.get(entry.stage)
        if roof and roof.verdict == 'inefficient':
            advice = f'Its kernels leave most of the device idle: try larger batches and compilation first. {advice}'
            config = [*lines_of([general['larger_batch'], general['compile']]), *config]
        if not uses_lower_precision(report):
            advice, config = f'{general["amp"].note} {advice}', [*lines_of([general['amp']]), *config]
        yield Finding(
            kind='stage',
            title=f'{entry.stage} takes {entry.share:.0%} of the {what_was_timed(report)}{unsynchronised(report)}',
            evidence=evidence_of(entry, roof),
            advice=advice,
            config=config,
            saves_at_most=entry.share,
        )


def evidence_of(entry: Bottleneck, roof: RooflinePoint | None) -> str:
    """Return the numbers behind a costly stage."""
    text = f'share {entry.share:.1%}'
    if entry.share_interval:
        text += ' (95 %: {:.1%} to {:.1%})'.format(*entry.share_interval)
    if roof:
        text += (
            f'; {roof.gmacs:.1f} GMAC forward, {roof.efficiency:.0%} of the roofline, {roof.bound}-bound: '
            f'{VERDICTS[roof.verdict]}'
        )
    return text


VERDICTS = {'big': 'it is big', 'inefficient': 'it is inefficient', 'between': 'big and not quite efficient'}


def optimizer_and_communication(report: Report) -> Iterator[Finding]:
    """Find optimizer steps and exchanges of gradients that take long."""
    share = share_of(report, 'optimizer')
    if share >= OPTIMIZER_SHARE:
        yield costly('optimizer', 'The optimizer takes long', share, candidates_for(report, 'optimizer').values())
    share = share_of(report, 'communication')
    if share >= COMMUNICATION_SHARE:
        known = candidates_for(report)
        advice = 'Accumulate more iterations for each exchange, or give each process more work in an iteration.'
        less_often = [known['more_accumulation'], known['larger_batch']]
        yield costly('communication', 'Processes wait for gradients', share, less_often, advice=advice)


def launch_bound(report: Report) -> Iterator[Finding]:
    """Find stages whose time on the device is that in which the host issues their work."""
    bound = {
        name: cost
        for name, cost in report.stages.items()
        if name not in WITHOUT_DEVICE and (cost.host_bound_share or 0.0) >= LAUNCH_BOUND_FROM
    }
    share = sum(cost.host_bound_ms for cost in bound.values()) / report.iteration_ms.mean if bound else 0.0
    if share >= HOST_BOUND_SHARE:
        known = candidates_for(report)
        fewer_kernels = [known['compile'], known['larger_batch']]
        stages = ', '.join(f'{name} {cost.host_bound_share:.0%}' for name, cost in bound.items())
        detail = f', in which the device may wait for the host; of the time of {stages}'
        advice = (
            f'These stages are launch-bound: faster kernels do not help, fewer kernels do. {notes_of(fewer_kernels)} '
            'A stage that reads values of the device (.item(), masks as indices) looks the same.'
        )
        yield costly('launch', 'The host is slower than the device', share, fewer_kernels, detail, advice)


def unattributed(report: Report) -> Iterator[Finding]:
    """Find time outside all stages: hooks, logging, the host."""
    share = share_of(report, 'other')
    if share >= OTHER_SHARE and what_was_timed(report) == 'iteration':
        known = candidates_for(report)
        detail = ': hooks, logging, saving, Python between stages'
        advice = f'{known["rarer_hooks"].note} With larger batches the host matters less.'
        cheaper = [known['rarer_hooks'], known['larger_batch']]
        yield costly('other', 'Much time is spent outside the stages', share, cheaper, detail, advice)


def unsteady(report: Report) -> Iterator[Finding]:
    """Find drift and outliers."""
    drift = report.stability.drift
    if drift and not drift.noise and drift.ratio > 1 + DRIFT:
        yield Finding(
            kind='drift',
            title='Iterations become slower',
            evidence=f'the second half takes {drift.ratio:.3f} times the first (95 %: {drift.interval[0]:.3f} '
            f'to {drift.interval[1]:.3f})',
            advice='Check the clock rate and temperature of the device, growing memory and other jobs on it. '
            'Switching off the search for algorithms rules out one cause.',
            config=['env_cfg = dict(cudnn_benchmark=False)'],
            saves_at_most=1 - 1 / drift.ratio,
        )
    outliers = report.stability.outliers
    if outliers and outliers.fraction >= OUTLIER_FRACTION:
        worst = ', '.join(f'{each.iteration} ({each.iteration_ms:.0f} ms)' for each in outliers.worst[:3])
        yield Finding(
            kind='outliers',
            title='Single iterations are far slower than the rest',
            evidence=f'{outliers.count} samples ({outliers.fraction:.1%}) above {outliers.above_ms:.0f} ms; '
            f'iterations {worst}',
            advice='Find out what happens at these iterations. If batches come late, load more of them ahead. If the '
            'run saves or validates, do it less often.',
            config=[
                'train_dataloader = dict(num_workers=8, prefetch_factor=4)',
                'default_hooks = dict(checkpoint=dict(interval=2000))',
                'train_cfg = dict(val_interval=2000)',
            ],
        )


def skewed_ranks(report: Report) -> Iterator[Finding]:
    """Find a rank that the others wait for."""
    ranks = report.ranks
    if ranks and ranks.slowest_to_others and ranks.slowest_to_others >= RANK_SKEW:
        yield Finding(
            kind='ranks',
            title=f'Rank {ranks.slowest} keeps the others waiting',
            evidence=f'its own work takes {ranks.slowest_to_others:.2f} times that of the others',
            advice='Check its data loading and other jobs on its device. With more accumulation, the ranks exchange '
            'gradients less often.',
            config=lines_of([candidates_for(report)['more_accumulation']]),
            saves_at_most=1 - 1 / ranks.slowest_to_others,
        )


RULES: tuple[Callable[[Report], Iterator[Finding]], ...] = (
    not_synchronised,
    not_finite,
    not_converging,
    waiting_for_data,
    recomputation,
    costly_stages,
    optimizer_and_communication,
    launch_bound,
    unattributed,
    unsteady,
    skewed_ranks,
)
