"""Trains every variant of an ablation with every seed, each in a process of its own, and goes on where one fails.

A folder holds ``<variant>/config.py``, resolved, and ``<variant>/seed<k>/``, the run's own folder with ``train.log``.
A run is finished when it has written its ``report.json``; one that was interrupted goes on from its newest checkpoint.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.config.hooks import REPORTING_HOOKS, set_default_hook
from vrtspike.engine.training import newest_checkpoint, wants_cpu_overrides
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.experiments.variants import Variant
from vrtspike.runtime.atomic_write import written_aside

INSTRUMENT = ('flops', 'stage_cost')
"""Default hooks that every variant is measured with."""

LAST_LINES = 15

GRACE_S = 60.0
"""How long a training that is to stop may take to end its iteration and save."""


@dataclass(frozen=True)
class Run:
    """One training: a variant with a seed.

    Args:
        variant: What is trained.
        seed: Of weights and data.
        folder: Of the ablation.
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
        """What a finished run has written."""
        return self.work_dir / 'report.json'


def resolve(
    variant: Variant, config: str | Path, common: Mapping[str, Any], plugins: Sequence[str], full_length: bool
) -> Config:
    """Return the config that a variant trains, checked, with the instrument among its hooks.

    Args:
        variant: Its overrides win over ``common``.
        config: The base config.
        common: Dotted keys that every variant shares.
        plugins: Plugins that every variant shares.
        full_length: Whether the config's ``cpu_overrides`` are refused.
    """
    resolved = load_config(
        config,
        overrides={**common, **variant.overrides},
        plugins=[*plugins, *variant.plugins],
        cpu_overrides=wants_cpu_overrides(refused=full_length),
    )
    for name in INSTRUMENT:
        set_default_hook(resolved, name, type=REPORTING_HOOKS[name])
    return resolved


def digest(config: Config) -> str:
    """Return a short name of what a config holds: folders called so do not mix the runs of two configs."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()[:8]


def write_config(resolved: Config, path: Path) -> None:
    """Write a variant's config, unless the very same is there.

    Raises:
        ConfigError: The folder holds runs of another config.
    """
    text = resolved.pretty_text
    if path.is_file():
        if path.read_text(encoding='utf-8') != text:
            raise ConfigError(
                f'{path} is another config than this ablation trains: give another --work-dir, or remove {path.parent}'
            )
        return
    with written_aside(path) as aside:
        aside.write_text(text, encoding='utf-8')


def train_all(
    runs: Sequence[Run],
    resolve_variant: Callable[[Variant], Config],
    train_tool: Path,
    progress: Callable[[str, int], None] = lambda what, done: None,
) -> dict[str, str]:
    """Train all ``runs`` that are not finished, in order; return what failed, {variant: why}.

    A variant that failed once is not trained with further seeds.

    Args:
        runs: What to train.
        resolve_variant: From a variant to its config; see :func:`resolve`.
        train_tool: ``tools/train.py``.
        progress: Called before every run with its name and the number of runs behind it.
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
        failure = '' if run.report.is_file() else train(run, train_tool)
        if failure:
            failures[name] = f'seed {run.seed}: {failure}'
    return failures


def train(run: Run, train_tool: Path) -> str:
    """Train one run, or go on with it; return why it failed, or nothing."""
    run.work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, train_tool, run.config, '--work-dir', run.work_dir, '--no-cpu-overrides']
    if newest_checkpoint(run.work_dir):
        command.append('--resume')
    command += ['--cfg-options', f'randomness.seed={run.seed}']
    log = run.work_dir / 'train.log'
    with log.open('a', encoding='utf-8') as output:
        status = ended([str(part) for part in command], output)
    if status == 0 and run.report.is_file():
        return ''
    return reason(log.read_text(encoding='utf-8', errors='replace'), status)


def ended(command: Sequence[str], output: IO[str]) -> int:
    """Run a training to its end and return its status; where this process is interrupted, it saves and ends first.

    It has a session of its own, so that Ctrl-C reaches it through here alone, as the signal that it saves at.
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
            process.kill()  # does nothing to one that has ended


def reason(log: str, status: int) -> str:
    """Return the last error in a log, or how the process ended where it says none."""
    lines = [line.strip() for line in log.splitlines()[-LAST_LINES:] if line.strip()]
    errors = [line for line in lines if 'error' in line.lower()]
    ending = f'ended by signal {-status}' if status < 0 else f'exit status {status}'
    return errors[-1].removeprefix('error: ') if errors else ending
