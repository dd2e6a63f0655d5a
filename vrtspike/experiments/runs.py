"""Trains every variant of an ablation with every seed. Each run has its own process, so failures do not end others.

The folder has ``<variant>/config.py``, resolved, and ``<variant>/seed<k>/``, the run's own folder with ``train.log``.
A run is finished when it has written its ``report.json``. An interrupted run is resumed from its newest checkpoint.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.config.hooks import REPORTING_HOOKS, set_default_hook
from vrtspike.engine.run_folder import newest_checkpoint
from vrtspike.engine.training import wants_cpu_overrides
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.experiments.variants import Variant
from vrtspike.runtime.atomic_write import write_text

INSTRUMENT = ('flops', 'stage_cost')
"""Default hooks that measure every variant."""

LAST_LINES = 15
"""Number of lines at the end of a log that are searched for an error."""

GRACE_S = 60.0
"""Seconds that a terminated training may take to end its iteration and save."""


class Run(msgspec.Struct, frozen=True):
    """One training: a variant with a seed.

    Args:
        variant: What is trained.
        seed: Seed of weights and data.
        folder: Folder of the ablation.
    """

    variant: Variant
    seed: int
    folder: Path

    @property
    def config(self) -> Path:
        """The resolved config of the variant."""
        return self.folder / self.variant.name / 'config.py'

    @property
    def work_dir(self) -> Path:
        """The folder of the run."""
        return self.folder / self.variant.name / f'seed{self.seed}'

    @property
    def report(self) -> Path:
        """The report, which only a finished run has."""
        return self.work_dir / 'report.json'


def resolve(
    variant: Variant,
    config: str | Path,
    shared_overrides: Mapping[str, Any],
    plugins: Sequence[str],
    full_length: bool,
) -> Config:
    """Return the config that a variant trains, checked, with the measuring hooks.

    Args:
        variant: Its overrides win over ``shared_overrides``.
        config: The base config.
        shared_overrides: Overrides that all variants share.
        plugins: Plugins that all variants share.
        full_length: Whether to ignore the config's ``cpu_overrides``.
    """
    resolved = load_config(
        config,
        overrides={**shared_overrides, **variant.overrides},
        plugins=[*plugins, *variant.plugins],
        cpu_overrides=wants_cpu_overrides(refused=full_length),
    )
    for name in INSTRUMENT:
        set_default_hook(resolved, name, type=REPORTING_HOOKS[name])
    return resolved


def digest(config: Config) -> str:
    """Return a short name for the content of a config, so that runs of two configs never share a folder."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()[:8]


def write_config(resolved: Config, path: Path) -> None:
    """Write a variant's config unless it is already there.

    Raises:
        ConfigError: The folder has runs of another config.
    """
    if not path.is_file():
        write_text(path, resolved.pretty_text)
    elif path.read_text(encoding='utf-8') != resolved.pretty_text:
        raise ConfigError(
            f'{path} differs from what this ablation trains: give another --work-dir, or remove {path.parent}'
        )


def train_all(
    runs: Sequence[Run],
    resolve_variant: Callable[[Variant], Config],
    train_tool: Path,
    progress: Callable[[str, int], None] = lambda what, done: None,
) -> dict[str, str]:
    """Train all ``runs`` that are not finished, in order; return the reason of each failure by variant.

    A variant that failed once is not trained with further seeds.

    Args:
        runs: What to train.
        resolve_variant: Returns the config of a variant; see :func:`resolve`.
        train_tool: ``tools/train.py``.
        progress: Called before every run with its name and the number of runs before it.
    """
    failures: dict[str, str] = {}
    for done, run in enumerate(runs):
        name = run.variant.name
        progress(f'{name}, seed {run.seed}', done)
        if name in failures:
            continue
        try:
            write_config(resolve_variant(run.variant), run.config)
        except VrtSpikeError as error:
            failures[name] = str(error)
            continue
        failure = train(run, train_tool)
        if failure:
            failures[name] = f'seed {run.seed}: {failure}'
    return failures


def train(run: Run, train_tool: Path) -> str:
    """Train or resume one run unless it is finished; return why it failed, or an empty string."""
    if run.report.is_file():
        return ''
    run.work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, train_tool, run.config, '--work-dir', run.work_dir, '--no-cpu-overrides']
    if newest_checkpoint(run.work_dir):
        command.append('--resume')
    command += ['--cfg-options', f'randomness.seed={run.seed}']
    log = run.work_dir / 'train.log'
    with log.open('a', encoding='utf-8') as output:
        status = run_to_end(list(map(str, command)), output)
    if status == 0 and run.report.is_file():
        return ''
    return reason(log.read_text(encoding='utf-8', errors='replace'), status)


def run_to_end(command: Sequence[str], output: IO[str]) -> int:
    """Run a training to its end and return its exit status.

    The training has its own session, so that Ctrl-C reaches only this process. If this process is interrupted, it sends
    SIGTERM to the training, which then saves a checkpoint and ends.
    """
    with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            raise
        finally:
            process.kill()  # no effect if it has ended


def reason(log: str, status: int) -> str:
    """Return the last error in a log, or how the process ended if the log has none."""
    lines = [line.strip() for line in log.splitlines()[-LAST_LINES:] if line.strip()]
    errors = [line for line in lines if 'error' in line.lower()]
    ending = f'ended by signal {-status}' if status < 0 else f'exit status {status}'
    return errors[-1].removeprefix('error: ') if errors else ending
