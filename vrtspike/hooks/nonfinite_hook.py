"""Keeps NaN and infinity out of the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.datasets.samplers import SAMPLES_SEEN_KEY
from vrtspike.errors import TrainingError
from vrtspike.hooks.observing import describe
from vrtspike.optim import StepListener, subscribe, unsubscribe
from vrtspike.registry import HOOKS
from vrtspike.runtime.distributed import any_rank

#: Key of the number of skipped steps in the message hub.
SKIPPED_KEY = 'skipped_steps'
FILE = 'nonfinite.jsonl'


class SampleIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What identifies a sample of a batch: the fields that the batch and the sampler have."""

    name: str
    first_frame: str
    index: int | None = None
    ordinal: int | None = None
    seed: int | None = None


class NonFiniteIteration(msgspec.Struct, frozen=True):
    """A line of ``nonfinite.jsonl``. JSON has no NaN, so a loss that is not finite is text."""

    iteration: int
    what: str
    loss: float | str
    samples: list[SampleIdentity]


@HOOKS.register_module()
class NonFiniteHook(Hook, StepListener):
    """Skips optimizer steps whose loss or gradient is NaN or infinite, and ends the run if there are too many of them.

    Processes decide together: if the loss of one is not finite, all skip the step and drop the gradients accumulated
    for it. Under float16 the loss scaler handles overflowing gradients itself. The log counts skipped steps as
    ``skipped_steps``. Each process writes a line per non-finite iteration to ``nonfinite.jsonl`` (process 1 to
    ``nonfinite_rank1.jsonl``, and so on): ``iteration``, ``loss``, ``what`` and the ``samples`` of its batch. To
    reproduce a sample, pass ``SampleKey(index, ordinal, seed)`` to
    :meth:`~vrtspike.datasets.clips.ClipDataset.__getitem__`.

    Args:
        in_a_row: Number of consecutive skipped steps that ends the run.
        in_all: Number of skipped steps in the whole run that ends it.
    """

    # First of the hooks after an iteration, so that no checkpoint is written before the limits are checked.
    priority = 'VERY_HIGH'

    def __init__(self, in_a_row: int = 5, in_all: int = 100) -> None:
        self.limits = {'in a row': in_a_row, 'in all': in_all}
        self.row = 0
        self.nonfinite: str | None = None
        """What was not finite since the last step: 'loss' or 'gradient'; None if everything was."""
        self.loss = math.nan
        self._stepped = self._skipped = False

    def before_train(self, runner: Runner) -> None:
        """Listen to the optimizer wrapper."""
        if SKIPPED_KEY not in runner.message_hub.runtime_info:
            runner.message_hub.update_info(SKIPPED_KEY, 0)
        self._wrapper = runner.optim_wrapper
        subscribe(self._wrapper, self)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        unsubscribe(self._wrapper, self)

    def before_update(self, loss: Tensor) -> None:
        """Check the loss, on all processes together."""
        self.loss = float(loss.detach())
        if any_rank(not math.isfinite(self.loss)):
            self.nonfinite = 'loss'

    def may_backpropagate(self) -> bool:
        """Refuse the backward pass if the loss is not finite, and all further ones until the step."""
        return self.nonfinite is None

    def may_step(self) -> bool:
        """Refuse a step if the loss or the gradient was not finite."""
        if not self.nonfinite and not has_loss_scaling(self._wrapper) and not gradients_finite(self._wrapper):
            self.nonfinite = 'gradient'
        return self.nonfinite is None

    def after_step(self, taken: bool) -> None:
        """Remember whether the step was taken."""
        self._stepped, self._skipped = taken, self.nonfinite is not None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Record a non-finite iteration, and end the run if a limit is reached.

        Raises:
            TrainingError: A limit is reached. The message gives advice.
        """
        if self.nonfinite:
            self._write(runner, data_batch)
        if self._stepped:
            self.row = 0
        if self._skipped:
            self._count(runner)
            self.nonfinite = None
        self._stepped = self._skipped = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the state between two steps."""
        checkpoint['nonfinite'] = {'row': self.row, 'spoilt': self.nonfinite}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore this state in a resumed run."""
        if runner._resume and 'nonfinite' in checkpoint:
            self.row, self.nonfinite = checkpoint['nonfinite']['row'], checkpoint['nonfinite']['spoilt']

    def _write(self, runner: Runner, batch: dict | None) -> None:
        rank = get_rank()
        loss = self.loss if math.isfinite(self.loss) else str(self.loss)
        samples = list(sample_identities(runner, batch))
        record = NonFiniteIteration(runner.iter + 1, self.nonfinite, loss, samples)
        line = json.dumps(msgspec.to_builtins(record))
        path = Path(runner.work_dir, FILE if rank == 0 else f'{Path(FILE).stem}_rank{rank}.jsonl')
        try:
            with path.open('a', encoding='utf-8') as file:
                file.write(line + '\n')
        except OSError as error:
            runner.logger.warning(f'{path} cannot be written ({describe(error)}). Its line would be: {line}')

    def _count(self, runner: Runner) -> None:
        skipped = runner.message_hub.get_info(SKIPPED_KEY) + 1
        runner.message_hub.update_info(SKIPPED_KEY, skipped)
        runner.message_hub.update_scalar('train/skipped_steps', skipped)
        self.row += 1
        runner.logger.warning(
            f'The {self.nonfinite} is not finite (loss {self.loss:g}): step skipped at iteration {runner.iter + 1}, '
            f'{skipped} so far; the samples are in {FILE}'
        )
        for (when, limit), count in zip(self.limits.items(), (self.row, skipped), strict=True):
            if count >= limit:
                raise TrainingError(
                    f'{count} steps {when} had a {self.nonfinite} that is not finite; the samples are in '
                    f'{Path(runner.work_dir, FILE)} and the weights are untouched. {advice(self._wrapper)}'
                )


def has_loss_scaling(wrapper: OptimWrapper) -> bool:
    """Return whether a gradient scaler is active. It skips overflowing steps itself."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def gradients_finite(wrapper: OptimWrapper) -> bool:
    """Return whether all gradients of the next step are finite, on all processes."""
    groups = wrapper.optimizer.param_groups
    gradients = [each.grad for group in groups for each in group['params'] if each.grad is not None]
    finite = not gradients or bool(torch.nn.utils.get_total_norm(gradients).isfinite())
    return not any_rank(not finite)


def sample_identities(runner: Runner, batch: dict | None) -> Iterator[SampleIdentity]:
    """Yield what identifies each sample of a batch."""
    meta = (batch or {}).get('meta') or {}
    loop, sampler = runner.train_loop, runner.train_dataloader.sampler
    names = list(meta.get('name', ()))
    before = runner.message_hub.get_info(SAMPLES_SEEN_KEY, 0) - getattr(loop, 'samples_per_iteration', 0)
    world, rank = getattr(sampler, 'world_size', 1), getattr(sampler, 'rank', 0)
    for i, name in enumerate(names):
        index = int(meta['index'][i]) if 'index' in meta else None
        drawn = (before + rank + i * world, sampler.seed) if hasattr(sampler, 'order') else ()
        yield SampleIdentity(name, meta['first_frame'][i], index, *drawn)


def advice(wrapper: OptimWrapper) -> str:
    """Return what to change, depending on the precision of the training."""
    dtype = getattr(wrapper, 'cast_dtype', torch.float32)
    if dtype == torch.float16:
        return (
            "Try optim_wrapper.dtype='bfloat16' if the GPU supports it, a smaller optim_wrapper.loss_scale."
            'init_scale (say 1024), or a longer warm-up (warm_up.max_iters)'
        )
    start = 'Look at the samples first: python tools/check_data.py finds damaged ones. Then try '
    rest = 'a longer warm-up (warm_up.max_iters), a lower learning rate, or a smaller optim_wrapper.clip_grad.max_norm'
    return f'{start}{"float32 (without --amp), " if dtype == torch.bfloat16 else ""}{rest}'
