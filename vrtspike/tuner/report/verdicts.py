"""What became of each measured candidate."""

from __future__ import annotations

from vrtspike.tuner.choosing import is_acceptable
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.trials import LEAST_SAVING, Trial, is_affordable, is_known


def verdict_of(trial: Trial, record: SearchRecord) -> str:
    """Return the key of the text that says what became of a measured candidate."""
    if record.best and trial.name in record.best.parts:
        return 'taken'
    if lost_too_much_together(trial, record):
        return 'too_lossy_together'
    if not trial.saves_time:
        return verdict_on_speed(trial)
    if record.is_too_large(trial.result.peak_memory_mib):
        return 'too_large'
    if not is_acceptable(trial, record.max_loss_db):
        return 'too_lossy' if is_known(trial.difference_db) else 'unknown_db'
    replacing = any(trial.name == step.added and step.replaces for step in record.steps)
    return 'replaced' if replacing else 'saves'


def verdict_on_speed(trial: Trial) -> str:
    """Return the key of the text on a candidate that does not save time."""
    if trial.result.is_slower:
        return 'slower'
    return 'unsure' if trial.result.saving >= LEAST_SAVING else 'nothing'


def lost_too_much_together(trial: Trial, record: SearchRecord) -> bool:
    """Return whether a trial was trained with others, and all together lost more than they may."""
    steps = [step for step in record.steps if step.added == trial.name and len(step.parts) > 1]
    known = [step.difference for step in steps if is_known(step.difference)]
    return any(not is_affordable(difference, record.max_loss_db) for difference in known)
