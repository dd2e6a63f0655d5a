"""The options and the record of a search: the contents of ``report.json``, which every report shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vrtspike.candidates import Overrides
from vrtspike.experiments.record import AblationRecord
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.profile import Profile
from vrtspike.tuner.trials import Failed, Measured, Step, Trial, flat, tagged


class SearchOptions(msgspec.Struct, kw_only=True, rename={'shared_overrides': 'common'}):
    """The options of a search.

    Args:
        config_path: The config's file.
        shared_overrides: Overrides of every config, the default included; ``common`` in JSON.
        plugins: Plugins to load.
        minutes: Budget of the search.
        max_loss_db: Largest allowed loss of quality, in dB.
        memory_gib: Largest allowed peak memory of a step; None allows any.
        objective: 'train' or 'infer'.
        iterations: Length of a training for quality; None takes the config's.
        seeds: Seeds of these trainings.
        folder: Where everything is written.
        full_length: Whether to ignore ``cpu_overrides``.
        command: The command line.
    """

    config_path: str
    shared_overrides: Overrides
    plugins: list[str]
    minutes: float
    max_loss_db: float
    memory_gib: float | None
    objective: str
    iterations: int | None
    seeds: list[int]
    folder: str
    full_length: bool = False
    command: list[str]

    @property
    def training_length(self) -> Overrides:
        """The override that sets the length of a training for quality."""
        return {'train_cfg.max_iters': self.iterations} if self.iterations else {}

    def fits(self, mib: float | None) -> bool:
        """Return whether this peak memory is allowed; unknown memory is."""
        return self.memory_gib is None or mib is None or mib <= 1024 * self.memory_gib


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The optimised config: where it is, its text, and what it sets."""

    path: str
    text: str
    overrides: Overrides


class SearchRecord(SearchOptions, kw_only=True, rename={'why_unknown': 'no_quality'}):
    """The options of a search and what it found. ``docs/optimize.md`` names the files that show it.

    In a file, results are flat objects without the types of the structs: read it with :func:`from_json`.

    Args:
        config: The config's name.
        shape: Clips, frames, height and width of a step.
        cpu_overrides: Whether the config's ``cpu_overrides`` were applied.
        versions: Versions of the libraries.
        device: The device.
        commit: This project's commit.
        profile: Where the default's time goes.
        default_memory_mib: Peak memory of one call of the default.
        published: The published code's path, measured against the default; None if there is none.
        trials: The candidates alone.
        steps: Their combinations.
        together_db: The difference in quality of all that was kept; None if it is not known.
        quality: The record of the trainings, as an ablation's; None if there were none.
        why_unknown: Why the quality is not known, empty if it is; ``no_quality`` in JSON.
        failures: Why trainings failed, by name.
        output: The optimised config.
    """

    config: str
    shape: list[int]
    cpu_overrides: bool
    versions: dict[str, str | None]
    device: dict[str, str | int]
    commit: str | None
    profile: Profile
    default_memory_mib: float | None
    published: Measured | Failed | None
    trials: list[Trial]
    steps: list[Step]
    together_db: Difference | None
    quality: AblationRecord | None
    why_unknown: str
    failures: dict[str, str] | UnsetType = UNSET
    output: OutputConfig

    @property
    def best(self) -> Step | None:
        """The last step that was kept."""
        return next((step for step in reversed(self.steps) if step.kept), None)

    @property
    def measured(self) -> list[Trial]:
        """The trials that were measured."""
        return [trial for trial in self.trials if isinstance(trial.result, Measured)]

    @property
    def measured_steps(self) -> list[Step]:
        """The steps that were measured."""
        return [step for step in self.steps if isinstance(step.result, Measured)]

    def saving_of_published(self, saving: float) -> float | None:
        """Convert a saving relative to the default into one relative to the published path."""
        # The published path was measured against the default, like everything else.
        if isinstance(self.published, Measured):
            return 1 - (1 - saving) / (1 - self.published.saving)
        return None


def to_json(record: SearchRecord) -> dict[str, Any]:
    """Return a record as ``report.json`` contains it."""
    plain = msgspec.to_builtins(record)
    changes = {key: [flat(each['result'], each) for each in plain[key]] for key in ('trials', 'steps')}
    return {**plain, **changes, 'published': plain['published'] and flat(plain['published'], {})}


def from_json(record: Mapping[str, Any]) -> SearchRecord:
    """Return a record from the JSON of :func:`to_json`."""
    changes = {key: [{**each, 'result': tagged(each)} for each in record[key]] for key in ('trials', 'steps')}
    published = record['published'] and tagged(record['published'])
    return msgspec.convert({**record, **changes, 'published': published}, SearchRecord)
