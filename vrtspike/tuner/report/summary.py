"""The summary of a report: what matters most."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.experiments.variants import REFERENCE
from vrtspike.tuner.report.view import View
from vrtspike.tuner.trials import Measured

PROMISE = 0.70
"""Share of an iteration that the guide's combined plan promised to save."""


def summary(view: View) -> list[str]:
    """Return the lines of the summary."""
    return [*_setting(view), *_speed(view), *_published(view), *_promise(view), *_quality(view)]


def _setting(view: View) -> Iterator[str]:
    record = view.record
    yield view.text(
        'what',
        objective=view.text(record.objective),
        device=record.device['name'],
        shape=' x '.join(map(str, record.shape)),
        torch=record.versions['torch'],
    )
    if record.cpu_overrides:
        yield view.text('cpu')
    for entry in record.profile.bottlenecks[:1]:
        yield view.text('first_bottleneck', stage=entry.stage, share=entry.share, of=view.whole)


def _speed(view: View) -> Iterator[str]:
    record, best = view.record, view.record.best
    if best:
        result = best.result
        low, high = result.interval
        times = {'ms': result.ms_per_sample, 'default': result.default_ms_per_sample}
        yield view.text('best', **times, saving=result.saving, low=low, high=high)
    else:
        yield view.text('nothing_found')
    if record.is_too_large(record.default_memory_mib):
        key = 'default_too_large' if best else 'nothing_fits'
        yield view.text(key, mib=record.default_memory_mib, gib=record.memory_gib)


def _published(view: View) -> Iterator[str]:
    published = view.record.published
    if isinstance(published, Measured):
        low, high = (1 - 1 / (1 - saving) for saving in reversed(published.interval))
        saving = view.record.saving_of_published(0.0)
        yield view.text('published', ms=published.ms_per_sample, saving=saving, low=low, high=high)


def _promise(view: View) -> Iterator[str]:
    record = view.record
    if record.objective == 'train':
        saving = record.best.result.saving if record.best else 0.0
        key = 'promise_met' if saving >= PROMISE else 'promise_missed'
        yield view.text('promise', verdict=view.text(key, saving=saving, loss=record.max_loss_db))


def _quality(view: View) -> Iterator[str]:
    record = view.record
    if record.quality:
        reference = record.quality['variants'][0]
        seeds = ', '.join(str(run['seed']) for run in reference['runs'])
        gain = reference['gain_db']['mean']
        yield view.text('quality_known', iterations=record.quality['iterations'], gain=gain, seeds=seeds)
    if record.why_unknown:
        failure = (record.failures or {}).get(REFERENCE, '')
        yield view.text('quality_unknown', why=view.text(record.why_unknown, failure=failure))
    if record.best and not record.best.is_exact:
        known = record.together_db
        yield view.text('together_db', db=view.difference(known)) if known else view.text('together_unknown')
