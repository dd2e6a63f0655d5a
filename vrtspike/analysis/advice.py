"""Findings: what stands out in a report, what to try, and the config lines that do it.

A config with one of a finding's lines below ``_base_ = './vrt_spike_baseline.py'`` is valid. Lists are replaced as a
whole, so adapt them to your own config. What a remedy gains is to be measured (``compare``), never assumed: a finding
says only what it can gain at most, which is what its stage costs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vrtspike.analysis.facts import by_mean, computes_in_half, mib, share_of, unsynchronised, what_was_timed
from vrtspike.analysis.remedies import AMP, STAGE_COSTS, larger_batch, remedy_for

if TYPE_CHECKING:
    from vrtspike.analysis.report import Report
    from vrtspike.analysis.statistics.costs import Bottleneck
    from vrtspike.analysis.statistics.roofline import RooflinePoint

DATA_SHARE = 0.05
RECOMPUTE_SHARE = 0.10
OPTIMIZER_SHARE = 0.10
COMMUNICATION_SHARE = 0.10
OTHER_SHARE = 0.05
DRIFT = 0.03
OUTLIER_FRACTION = 0.01
RANK_SKEW = 1.05
STAGE_SHARE = 0.15


@dataclass
class Finding:
    """One thing that stands out.

    Args:
        kind: A short name of the rule.
        title: What was found.
        evidence: The numbers.
        remedy: What to try.
        config: Config lines that do it.
        saves_at_most: Share of the iteration that would be gone if its cause cost nothing; None where time is not what
            is at stake.
    """

    kind: str
    title: str
    evidence: str
    remedy: str
    config: list[str] = field(default_factory=list)
    saves_at_most: float | None = None


def findings(report: Report) -> list[Finding]:
    """Return all findings: what endangers the result first, then by what can be saved."""
    found = [finding for rule in RULES for finding in rule(report)]
    return sorted(found, key=lambda finding: -math.inf if finding.saves_at_most is None else -finding.saves_at_most)


def not_finite(report: Report) -> Iterator[Finding]:
    """Find losses that are no numbers."""
    stability = report.stability
    if stability.losses_not_finite:
        yield Finding(
            'not_finite',
            'The loss was not finite',
            f'{stability.losses_not_finite} times, first at iteration {stability.first_not_finite_iteration}',
            'Compute in bfloat16, whose range is that of float32, clip harder, and warm up longer or at a lower rate.',
            [
                "optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='bfloat16', clip_grad=dict(max_norm=0.5), "
                'optimizer=dict(lr=5e-5))'
            ],
        )


def not_converging(report: Report) -> Iterator[Finding]:
    """Find a loss that does not fall and frames that are worse than the blurred ones."""
    loss = report.convergence
    if loss and loss.trend != 'falling':
        yield Finding(
            'loss',
            'The loss rises' if loss.trend == 'rising' else 'The loss does not surely fall',
            f'median {loss.start:.4g} in the first tenth, {loss.end:.4g} in the last quarter, '
            f'lower in {loss.lower:.0%} of pairs',
            'Train longer before judging; then try another learning rate.',
            ['train_cfg = dict(max_iters=120_000)', 'optim_wrapper = dict(optimizer=dict(lr=2e-4))'],
        )
    quality = report.validation
    if 'psnr' in quality and 'blur/psnr' in quality:
        gain = quality['psnr'].last - quality['blur/psnr'].last
        if gain < 0:
            yield Finding(
                'gain',
                'Restored frames are worse than the blurred ones',
                f'PSNR {quality["psnr"].last:.2f} dB, of the input {quality["blur/psnr"].last:.2f} dB',
                'Look at the pictures of the run, check the data, and begin at a lower learning rate.',
                ['optim_wrapper = dict(optimizer=dict(lr=5e-5))'],
            )


def not_synchronised(report: Report) -> Iterator[Finding]:
    """Find times that were read from the host clock."""
    if unsynchronised(report):
        yield Finding(
            'measure',
            'These times rank nothing yet',
            'they come from the host clock and cover the forward pass alone',
            'Measure before changing anything: train some iterations here and analyse the run.',
            [STAGE_COSTS, 'train_cfg = dict(max_iters=200)'],
        )


def waiting_for_data(report: Report) -> Iterator[Finding]:
    """Find iterations that wait for their batch."""
    share = share_of(report, 'data')
    if share >= DATA_SHARE:
        yield Finding(
            'data',
            'Training waits for data',
            f'{share:.1%} of the iteration',
            'More workers, more batches ahead. Each worker needs a core of its own.',
            ['train_dataloader = dict(num_workers=8, prefetch_factor=4, persistent_workers=True, pin_memory=True)'],
            share,
        )


def recomputation(report: Report) -> Iterator[Finding]:
    """Find forward work that is repeated to save memory."""
    share = report.phase_shares.get('recompute', 0.0)
    if share < RECOMPUTE_SHARE:
        return
    costly = [name for name in by_mean(report, 'recompute_ms') if re.fullmatch(r'stage[1-8]', name)][:2]
    groups = sorted(int(name.removeprefix('stage')) - 1 for name in costly) or [0]
    names = ' and '.join(f'stage {group + 1}' for group in groups)
    yield Finding(
        'recompute',
        'Checkpointing repeats forward work',
        f'{share:.1%} of the iteration is recomputation; peak memory {mib(report.memory.peak_mib)}',
        f'Where memory is left, keep activations: of {names} first (their groups count from 0), or of all.',
        [
            f'model = dict(backbone=dict(no_checkpoint_attn_blocks={groups}, no_checkpoint_ffn_blocks={groups}))',
            'model = dict(backbone=dict(use_checkpoint_attn=False, use_checkpoint_ffn=False))',
        ],
        share,
    )


def costly_stages(report: Report) -> Iterator[Finding]:
    """Find stages that take a large share, and say whether they are big or inefficient."""
    for entry in report.bottlenecks:
        if entry.share < STAGE_SHARE:
            return
        known = remedy_for(entry.stage)
        if known is None:
            continue
        remedy, config = known
        roof = report.roofline.get(entry.stage)
        if roof and roof.verdict == 'inefficient':
            remedy = f'Its kernels wait more than they work: larger batches and compilation first. {remedy}'
            config = [larger_batch(report.batch.clips), 'compile = True', *config]
        if not computes_in_half(report):
            remedy, config = f'Mixed precision first. {remedy}', [AMP, *config]
        yield Finding(
            'stage',
            f'{entry.stage} takes {entry.share:.0%} of the {what_was_timed(report)}{unsynchronised(report)}',
            evidence_of(entry, roof),
            remedy,
            config,
            entry.share,
        )


def evidence_of(entry: Bottleneck, roof: RooflinePoint | None) -> str:
    """Return the numbers behind a costly stage."""
    text = f'share {entry.share:.1%}'
    if entry.share_interval:
        text += ' (95 %: {:.1%} to {:.1%})'.format(*entry.share_interval)
    if roof:
        text += (
            f'; {roof.gmacs:.1f} GMAC forward, {roof.efficiency:.0%} of what the device can do, '
            f'bound by {roof.bound}: {VERDICTS[roof.verdict]}'
        )
    return text


VERDICTS = {'big': 'it is big', 'inefficient': 'it is inefficient', 'between': 'big and not quite efficient'}


def optimizer_and_communication(report: Report) -> Iterator[Finding]:
    """Find steps and exchanges of gradients that cost much."""
    share = share_of(report, 'optimizer')
    if share >= OPTIMIZER_SHARE:
        yield Finding(
            'optimizer',
            'The optimizer takes long',
            f'{share:.1%} of the iteration',
            'Use the fused step; or accumulate more iterations per step, which changes the effective batch.',
            ['optim_wrapper = dict(optimizer=dict(fused=True))', 'optim_wrapper = dict(accumulative_counts=12)'],
            share,
        )
    share = share_of(report, 'communication')
    if share >= COMMUNICATION_SHARE:
        yield Finding(
            'communication',
            'Processes wait for gradients',
            f'{share:.1%} of the iteration',
            'Accumulate more iterations per exchange, or give each process more work per iteration.',
            ['optim_wrapper = dict(accumulative_counts=12)', larger_batch(report.batch.clips)],
            share,
        )


def unattributed(report: Report) -> Iterator[Finding]:
    """Find time that belongs to no stage: hooks, logging, the host."""
    share = share_of(report, 'other')
    if share >= OTHER_SHARE and what_was_timed(report) == 'iteration':
        yield Finding(
            'other',
            'Much time belongs to no stage',
            f'{share:.1%} of the iteration: hooks, logging, saving, Python between stages',
            'Log and save less often; larger batches make the host matter less.',
            [
                'default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=2000))',
                larger_batch(report.batch.clips),
            ],
            share,
        )


def unsteady(report: Report) -> Iterator[Finding]:
    """Find drift and outliers."""
    drift = report.stability.drift
    if drift and not drift.noise and drift.ratio > 1 + DRIFT:
        yield Finding(
            'drift',
            'Iterations become slower',
            f'the second half takes {drift.ratio:.3f} times the first (95 %: {drift.interval[0]:.3f} to '
            f'{drift.interval[1]:.3f})',
            'Look at the clock rate and temperature of the device, at memory that grows, and at who else computes '
            'there. A fixed algorithm search rules out one cause.',
            ['env_cfg = dict(cudnn_benchmark=False)'],
            1 - 1 / drift.ratio,
        )
    outliers = report.stability.outliers
    if outliers and outliers.fraction >= OUTLIER_FRACTION:
        worst = ', '.join(f'{each.iteration} ({each.iteration_ms:.0f} ms)' for each in outliers.worst[:3])
        yield Finding(
            'outliers',
            'Single iterations are far slower than the rest',
            f'{outliers.count} samples ({outliers.fraction:.1%}) above {outliers.above_ms:.0f} ms; iterations '
            f'{worst}',
            'See what happens at these iterations. Batches that come late need more of them ahead; saving and '
            'validating need longer intervals.',
            ['train_dataloader = dict(num_workers=8, prefetch_factor=4)',
             'default_hooks = dict(checkpoint=dict(interval=2000))', 'train_cfg = dict(val_interval=2000)'],
        )  # fmt: skip


def skewed_ranks(report: Report) -> Iterator[Finding]:
    """Find a rank that the others wait for."""
    ranks = report.ranks
    if ranks and ranks.slowest_to_others and ranks.slowest_to_others >= RANK_SKEW:
        yield Finding(
            'ranks',
            f'Rank {ranks.slowest} keeps the others waiting',
            f'its own work takes {ranks.slowest_to_others:.2f} times that of the others',
            'Look at what else runs on its device and at its data loading; with accumulation they wait less often.',
            ['optim_wrapper = dict(accumulative_counts=12)'],
            1 - 1 / ranks.slowest_to_others,
        )


RULES: tuple[Callable[[Report], Iterator[Finding]], ...] = (
    not_synchronised, not_finite, not_converging, waiting_for_data, recomputation, costly_stages,
    optimizer_and_communication, unattributed, unsteady, skewed_ranks,
)  # fmt: skip
