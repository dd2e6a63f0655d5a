"""The checklist after an optimisation: did it converge, is the quality kept, and did it pay?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vrtspike.analysis.comparison import Ratio, check_comparable, has_clips, ratios
from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics import curves
from vrtspike.analysis.statistics.peak_memory import peak_memory
from vrtspike.analysis.statistics.stability import non_finite_losses
from vrtspike.analysis.statistics.stage_shares import bottlenecks, measured_cost

PSNR_DROP_DB = 0.3
SSIM_DROP = 0.01


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Args:
        name: What was checked.
        passed: Whether it passed; None if it was not measured, which counts as not passed.
        numbers: The evidence.
    """

    name: str
    passed: bool | None
    numbers: str


def run_checks(
    run: RunLog,
    baseline: RunLog,
    names: list[str] | None = None,
    psnr_drop: float = PSNR_DROP_DB,
    ssim_drop: float = SSIM_DROP,
) -> list[Check]:
    """Return the checks, each with its numbers.

    Args:
        run: After the optimisation.
        baseline: Before it.
        names: Names in :data:`CHECKS`; None for all.
        psnr_drop: How much lower than the baseline's the PSNR may be, in dB.
        ssim_drop: The same for SSIM.
    """
    chosen = {name: check for name, check in CHECKS.items() if names is None or name in names}
    limits = {'psnr': psnr_drop, 'ssim': ssim_drop}
    return [Check(name, *check(run, baseline, limits)) for name, check in chosen.items()]


Outcome = tuple[bool | None, str]
Limits = dict[str, float]


def loss_converges(run: RunLog, baseline: RunLog, limits: Limits) -> Outcome:
    """Check that the loss was always finite and is significantly lower at the end than at the start."""
    losses = non_finite_losses(run)
    if losses.number:
        return False, f'not finite {losses.number} times, first at iteration {losses.first_iteration}'
    found = curves.convergence(run)
    if found is None:
        return None, 'not measured: the log has fewer than 16 losses'
    text = f'{found.trend}, {found.start:.4g} in the first tenth, {found.end:.4g} in the last quarter'
    return found.trend == 'falling', f'{text} (lower in {found.lower:.0%} of pairs)'


def quality_kept(run: RunLog, baseline: RunLog, limits: Limits) -> Outcome:
    """Check that PSNR and SSIM of the last validation are within the limits below the baseline's."""
    mine, theirs = curves.quality(run), curves.quality(baseline)
    passed, texts = [], []
    for name, drop in limits.items():
        if name in mine and name in theirs:
            value, reference = mine[name].last, theirs[name].last
            passed.append(value >= reference - drop)
            digits = 2 if name == 'psnr' else 4
            texts.append(f'{name.upper()} {value:.{digits}f}, baseline {reference:.{digits}f} (may lose {drop:g})')
    if not passed:
        return None, 'not measured: no PSNR or SSIM in both logs'
    return all(passed), '; '.join(texts)


def memory_is_lower(run: RunLog, baseline: RunLog, limits: Limits) -> Outcome:
    """Check that the peak memory is lower."""
    mine, theirs = (peak_memory(log, log.costs()).peak_mib for log in (run, baseline))
    if mine is None or theirs is None:
        return None, 'not measured: no memory in both logs'
    return mine < theirs, f'{mine:,.0f} MiB, baseline {theirs:,.0f} MiB ({mine / theirs - 1:+.1%})'


def throughput_is_higher(run: RunLog, baseline: RunLog, limits: Limits) -> Outcome:
    """Check that a clip takes significantly less time, or an iteration if a log has no number of clips."""
    if run.cost_format is None or baseline.cost_format is None:
        return None, 'not measured: no times of iterations in both logs'
    check_comparable(baseline, run)
    per_clip = has_clips(run) and has_clips(baseline)
    found = ratios(baseline, run, ['iteration_ms'], per_clip)['iteration_ms']
    if found.ratio is None:
        return None, 'not measured: iterations that take no time'
    unit = 'clips/s' if per_clip else 'iterations/s'
    text = f'{1e3 / found.second:.3g} {unit}, baseline {1e3 / found.first:.3g}'
    return _certainly_faster(found, text)


def bottleneck_is_relieved(run: RunLog, baseline: RunLog, limits: Limits) -> Outcome:
    """Check that the baseline's costliest stage takes significantly less time per clip."""
    ranking = [entry.stage for entry in bottlenecks(baseline, baseline.costs()) if entry.stage in run.stages()]
    if len(baseline.stages()) < 2 or not ranking:
        return None, 'not measured: no stages in both logs'
    check_comparable(baseline, run)
    stage = ranking[0]
    column = f'stages/{stage}/total_ms'
    found = ratios(baseline, run, [column], has_clips(run) and has_clips(baseline))[column]
    shares = [measured_cost(log, log.costs(), f'stages/{stage}').share for log in (baseline, run)]
    text = f'{stage} {found.first:.4g} -> {found.second:.4g} ms, share {shares[0]:.1%} -> {shares[1]:.1%}'
    return _certainly_faster(found, text)


CHECKS: dict[str, Callable[[RunLog, RunLog, dict[str, float]], Outcome]] = {
    'loss': loss_converges,
    'quality': quality_kept,
    'memory': memory_is_lower,
    'throughput': throughput_is_higher,
    'bottleneck': bottleneck_is_relieved,
}
TITLES = {
    'loss': 'training loss converges',
    'quality': 'PSNR and SSIM are in range',
    'memory': 'memory is lower',
    'throughput': 'throughput is higher',
    'bottleneck': 'the bottleneck is relieved',
}


def _certainly_faster(found: Ratio, text: str) -> Outcome:
    if found.interval is None:
        return None, f'{text}: too few samples to tell'
    low, high = found.interval
    return found.verdict == 'faster', f'{text} (time x{found.ratio:.3f}, 95 %: {low:.3f} to {high:.3f})'
