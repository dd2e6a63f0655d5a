"""What a search knows about its candidates: outcomes of measurements, differences in quality, steps of a combination.

In JSON a trial or a step is one flat object: the fields of its result and its own. The structs have the names of the
JSON keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vrtspike.candidates import CHANGES, EXACT, Overrides
from vrtspike.experiments.statistics import NOT_INFORMATIVE, Difference

LEAST_SAVING = 0.02
"""Smaller savings do not count, because repeated measurements differ by as much."""


def is_known(difference: Difference | None) -> bool:
    """Return whether a difference was measured and is informative."""
    return difference is not None and difference.verdict != NOT_INFORMATIVE


def is_affordable(difference: Difference | None, max_loss_db: float) -> bool:
    """Return whether a difference is known and its mean loses no more than ``max_loss_db``."""
    return is_known(difference) and -difference.mean <= max_loss_db


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field='outcome', tag=str.lower):
    """The outcome of measuring overrides; the base of the types below.

    Args:
        name: Name of the overrides.
        overrides: What they set in the config.
    """

    name: str
    overrides: Overrides


class Skipped(Result, frozen=True, kw_only=True):
    """Overrides that were not measured, for a reason that the report's template names."""

    skipped: str


class Pruned(Result, frozen=True, kw_only=True):
    """A combination that was not measured, because it would replace something that saves more."""

    pruned: bool = True


class Recorded(Result, frozen=True, kw_only=True):
    """Overrides whose measurement is recorded in a file, with its conditions.

    Args:
        shape: Clips, frames, height and width.
        objective: 'train' or 'infer'.
        rounds: Timed calls of each side.
        base: Fingerprint of the default config, the device and the versions.
        versions: Versions of the libraries.
        device: The device.
        commit: This project's commit.
    """

    shape: list[int] | UnsetType = UNSET
    objective: str | UnsetType = UNSET
    rounds: int | UnsetType = UNSET
    base: str | UnsetType = UNSET
    versions: dict[str, str | None] | UnsetType = UNSET
    device: dict[str, str | int] | UnsetType = UNSET
    commit: str | UnsetType | None = UNSET


class Failed(Recorded, frozen=True, kw_only=True):
    """Overrides that could not be measured, and why."""

    failure: str


class DefaultMemory(Recorded, frozen=True, kw_only=True):
    """The peak memory of one call of the default in MiB; None if it is not known."""

    peak_memory_mib: float | None


class Measured(Recorded, frozen=True, kw_only=True):
    """Overrides that were measured against the default.

    Args:
        saving: Median over the rounds of the share of the default's time that is saved.
        interval: The smallest and the largest share of a round.
        ms_per_sample: Median time of a clip.
        default_ms_per_sample: Median time of a clip with the default, in the same rounds.
        peak_memory_mib: Peak memory of one call; None if it is not known.
        predicted_saving: Share of the default's multiply-adds that is saved.
        gmacs: GMAC of a clip's forward pass.
        times_ms: Times of the rounds, by side ('default' and 'changed').
        load_average: The machine's load before and after.
    """

    saving: float
    interval: tuple[float, float]
    ms_per_sample: float = 0.0
    default_ms_per_sample: float = 0.0
    peak_memory_mib: float | None = None
    predicted_saving: float = 0.0
    gmacs: float | UnsetType = UNSET
    times_ms: dict[str, list[float]] | UnsetType = UNSET
    load_average: list[float | None] | UnsetType = UNSET

    @property
    def saves_time(self) -> bool:
        """Whether it saves enough time to count, and some in every round."""
        return self.saving >= LEAST_SAVING and self.interval[0] > 0

    @property
    def is_slower(self) -> bool:
        """Whether it was slower than the default in every round."""
        return self.interval[1] < 0


class Change(msgspec.Struct, kw_only=True):
    """A change of the default: a candidate alone, or a combination.

    Args:
        kind: The candidate's kind, or the largest change in the combination: exact, then precision, then changes.
        most: Largest share of the time that the change can save: the share of its stages.
    """

    kind: str
    most: float | UnsetType = UNSET

    @property
    def changes_network(self) -> bool:
        """Whether it computes another function than the default."""
        return self.kind == CHANGES

    @property
    def is_exact(self) -> bool:
        """Whether it computes the same function as the default."""
        return self.kind == EXACT

    @property
    def difference(self) -> Difference | None:
        """Its difference in quality; None if that was not measured."""
        return None if self.difference_db is UNSET else self.difference_db


class Trial(Change, frozen=True, kw_only=True):
    """One candidate alone, with its difference in quality if that was measured."""

    result: Measured | Failed | Skipped
    difference_db: Difference | None = None

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.result.name

    @property
    def overrides(self) -> Overrides:
        """What the candidate sets in the config."""
        return self.result.overrides

    @property
    def saves_time(self) -> bool:
        """Whether it was measured to save time."""
        return isinstance(self.result, Measured) and self.result.saves_time


class Step(Change, kw_only=True):
    """One addition to a combination.

    Args:
        added: The name of the trial that was added.
        parts: The names of all trials in the combination, this one last.
        replaces: The names of those that it replaces.
        result: The outcome of the combination.
        interaction: Its time divided by the time predicted from the parts' savings; 1 if they are independent.
        kept: Whether the combination keeps it.
        difference_db: Its difference in quality, if it was measured.
    """

    added: str
    parts: list[str]
    replaces: list[str]
    result: Measured | Failed | Pruned
    interaction: float | None = None
    kept: bool = False
    difference_db: Difference | UnsetType | None = UNSET


def flat(result: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a result, joined with the fields of its trial or step. Its keys imply its type."""
    return {key: value for key, value in {**result, **own}.items() if key not in ('outcome', 'result')}


def tagged(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the type of its result, from which msgspec reads it."""
    types = {'skipped': 'skipped', 'pruned': 'pruned', 'failure': 'failed'}
    return {**record, 'outcome': next((name for key, name in types.items() if key in record), 'measured')}
