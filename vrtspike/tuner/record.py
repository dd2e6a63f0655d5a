"""The record of a search: what ``report.json`` holds and every report shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vrtspike.candidates import Overrides
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.profile import Profile
from vrtspike.tuner.trials import Failed, Measured, Step, Trial, flat, result_from, step_from, trial_from


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The optimised config: where it is, its text, and what it sets."""

    path: str
    text: str
    overrides: Overrides


class SearchRecord(msgspec.Struct, kw_only=True, rename={'shared_overrides': 'common', 'why_unknown': 'no_quality'}):
    """What a search found. ``docs/optimize.md`` names the files that show it.

    Args:
        config: The config's name.
        config_path: Its file.
        objective: 'train' or 'infer'.
        shape: Clips, frames, height and width of a step.
        cpu_overrides: Whether the config's ``cpu_overrides`` were applied.
        max_loss_db: Most that the quality may lose.
        memory_gib: Most memory that a step may need; None: any.
        minutes: Budget of the search.
        shared_overrides: Overrides of everything; ``common`` in JSON.
        plugins: Plugins of everything.
        iterations: Length of a training for quality; None: the config's.
        seeds: Seeds of these trainings.
        command: The command line of the search.
        full_length: Whether ``cpu_overrides`` were ignored.
        folder: Where everything was written.
        versions: Versions of the libraries.
        device: The device.
        commit: This project's commit.
        profile: Where the default's time goes.
        default_memory_mib: Peak memory of one call of the default.
        published: The published code's path, measured against the default; None where there is none.
        trials: The candidates alone.
        steps: Their combinations.
        together_db: The difference in quality of all that was kept; None where it is not known.
        quality: The record of the trainings, as an ablation's; None where there were none.
        why_unknown: Why the quality is not known, empty where it is; ``no_quality`` in JSON.
        failures: Why trainings failed, by name.
        output: The optimised config.
    """

    config: str
    config_path: str
    objective: str
    shape: list[int]
    cpu_overrides: bool
    max_loss_db: float
    memory_gib: float | None
    minutes: float
    shared_overrides: Overrides
    plugins: list[str]
    iterations: int | None
    seeds: list[int]
    command: list[str]
    full_length: bool = False
    folder: str
    versions: dict[str, Any]
    device: dict[str, Any]
    commit: str | None
    profile: Profile
    default_memory_mib: float | None
    published: Measured | Failed | None
    trials: list[Trial]
    steps: list[Step]
    together_db: Difference | None
    quality: dict[str, Any] | None
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
        """Return the share of the published path's time that is saved where ``saving`` of the default's is."""
        # The published path was measured against the default, as everything else.
        if isinstance(self.published, Measured):
            return 1 - (1 - saving) / (1 - self.published.saving)
        return None

    def is_too_large(self, mib: float | None) -> bool:
        """Return whether so much memory is known to be more than is allowed."""
        return bool(self.memory_gib and mib and mib > 1024 * self.memory_gib)


def to_json(record: SearchRecord) -> dict[str, Any]:
    """Return a record as ``report.json`` holds it."""
    plain = msgspec.to_builtins(record)
    return {**plain, 'trials': [flat(each) for each in record.trials], 'steps': [flat(each) for each in record.steps]}


def from_json(record: Mapping[str, Any]) -> SearchRecord:
    """Return the record that :func:`to_json` made JSON of."""
    read = {
        'profile': lambda value: msgspec.convert(value, Profile),
        'published': lambda value: value and result_from(value),
        'trials': lambda value: [trial_from(each) for each in value],
        'steps': lambda value: [step_from(each) for each in value],
        'together_db': lambda value: value and msgspec.convert(value, Difference),
        'output': lambda value: msgspec.convert(value, OutputConfig),
    }
    fields = {each.encode_name: each.name for each in msgspec.structs.fields(SearchRecord)}
    found = {name: record[key] for key, name in fields.items() if key in record}
    return SearchRecord(**{name: read[name](value) if name in read else value for name, value in found.items()})
