"""NaN and infinity kept away from the weights, alike on all processes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.engine.loops import SAMPLES_KEY
from vrtspike.errors import TrainingFault
from vrtspike.hooks.stop_signal_hook import anywhere
from vrtspike.registry import HOOKS

#: Where the message hub keeps how many steps were skipped.
SKIPPED_KEY = 'skipped_steps'
FILE = 'nonfinite.jsonl'


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skips optimizer steps whose loss or gradient is NaN or infinite, and ends the run when they come too often.

    Processes decide together: where the loss of one of them is not finite, all leave out the whole step, with what was
    accumulated for it. Loss scaling under float16 looks after overflowing gradients itself. Skipped steps are counted
    in the log as ``skipped_steps``, and each process writes what it had at hand to ``nonfinite.jsonl``
    (``nonfinite_rank1.jsonl``, ...), one line per step: ``iteration``, ``loss``, ``what`` and ``samples``, which
    :meth:`~vrtspike.datasets.clips.ClipDataset.__getitem__` makes again from ``SampleKey(index, ordinal, seed)``.

    Args:
        in_a_row: Skipped steps in a row that end the run.
        in_all: Skipped steps of the whole run that end it.
    """

    # First after an iteration: no checkpoint is written before the limit is looked at.
    priority = 'VERY_HIGH'

    def __init__(self, in_a_row: int = 5, in_all: int = 100) -> None:
        self.limits = {'in a row': in_a_row, 'in all': in_all}
        self.row = 0
        self.spoilt: str | None = None
        """What was not finite in the gradients now accumulated; None where all is well."""
        self.loss = math.nan
        self._stepped = self._skipped = False

    def before_train(self, runner: Runner) -> None:
        """Stand between the loss and the weights."""
        if SKIPPED_KEY not in runner.message_hub.runtime_info:
            runner.message_hub.update_info(SKIPPED_KEY, 0)
        self._wrapper = runner.optim_wrapper
        self._wrapper.update_params = self._update_params

    def after_train(self, runner: Runner) -> None:
        """Step aside."""
        vars(self._wrapper).pop('update_params', None)

    def _update_params(self, loss: Tensor) -> None:
        """Backpropagate and step as the optimizer wrapper does, unless something is not finite."""
        wrapper = self._wrapper
        self.loss = float(loss.detach())
        if anywhere(not math.isfinite(self.loss)):
            self.spoilt = 'loss'
        if self.spoilt:
            wrapper._inner_count += 1
        else:
            wrapper.backward(wrapper.scale_loss(loss))
        if not wrapper.should_update():
            return
        if not self.spoilt and not scales_loss(wrapper) and not gradients_finite(wrapper):
            self.spoilt = 'gradient'
        if not self.spoilt:
            wrapper.step()
            self._stepped = True
        else:
            self._skipped = True
        wrapper.zero_grad()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Write down what was found in this iteration, and end the run past a limit.

        Raises:
            TrainingFault: With advice.
        """
        if self.spoilt:
            self._write(runner, data_batch)
        if self._stepped:
            self.row = 0
        if self._skipped:
            self._count(runner)
            self.spoilt = None
        self._stepped = self._skipped = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what a step in the making has met."""
        checkpoint['nonfinite'] = {'row': self.row, 'spoilt': self.spoilt}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take it up again."""
        if runner._resume and 'nonfinite' in checkpoint:
            self.row, self.spoilt = checkpoint['nonfinite']['row'], checkpoint['nonfinite']['spoilt']

    def _write(self, runner: Runner, batch: dict | None) -> None:
        rank = get_rank()
        record = {
            'iteration': runner.iter + 1,
            'what': self.spoilt,
            'loss': self.loss if math.isfinite(self.loss) else str(self.loss),
            'samples': list(identities(runner, batch)),
        }
        path = Path(runner.work_dir, FILE if rank == 0 else f'{Path(FILE).stem}_rank{rank}.jsonl')
        with path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(record) + '\n')

    def _count(self, runner: Runner) -> None:
        skipped = runner.message_hub.get_info(SKIPPED_KEY) + 1
        runner.message_hub.update_info(SKIPPED_KEY, skipped)
        runner.message_hub.update_scalar('train/skipped_steps', skipped)
        self.row += 1
        runner.logger.warning(
            f'The {self.spoilt} is not finite (loss {self.loss:g}): step skipped at iteration {runner.iter + 1}, '
            f'{skipped} so far; the samples are in {FILE}'
        )
        for (when, limit), count in zip(self.limits.items(), (self.row, skipped), strict=True):
            if count >= limit:
                raise TrainingFault(
                    f'{count} steps {when} had a {self.spoilt} that is not finite; the samples are in '
                    f'{Path(runner.work_dir, FILE)} and the weights are untouched. {advice(self._wrapper)}'
                )


def scales_loss(wrapper: OptimWrapper) -> bool:
    """Return whether a gradient scaler is at work, which skips overflowing steps itself."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def gradients_finite(wrapper: OptimWrapper) -> bool:
    """Return whether all gradients about to be applied are finite, on all processes."""
    groups = wrapper.optimizer.param_groups
    gradients = [each.grad for group in groups for each in group['params'] if each.grad is not None]
    finite = not gradients or bool(torch.nn.utils.get_total_norm(gradients).isfinite())
    return not anywhere(not finite)


def identities(runner: Runner, batch: dict | None) -> Iterator[dict[str, Any]]:
    """Yield what each sample of a batch can be made again from, as far as the batch and the sampler say."""
    meta = (batch or {}).get('meta') or {}
    loop, sampler = runner.train_loop, runner.train_dataloader.sampler
    names = list(meta.get('name', ()))
    before = runner.message_hub.get_info(SAMPLES_KEY, 0) - getattr(loop, 'samples_per_iteration', 0)
    world, rank = getattr(sampler, 'world_size', 1), getattr(sampler, 'rank', 0)
    for i, name in enumerate(names):
        identity = {'name': name, 'first_frame': meta['first_frame'][i]}
        if 'index' in meta:
            identity['index'] = int(meta['index'][i])
        if hasattr(sampler, 'order'):
            identity |= {'ordinal': before + rank + i * world, 'seed': sampler.seed}
        yield identity


def advice(wrapper: OptimWrapper) -> str:
    """Return what to change, by how the training computes."""
    dtype = getattr(wrapper, 'cast_dtype', torch.float32)
    if dtype == torch.float16:
        return (
            "Try optim_wrapper.dtype='bfloat16' where the GPU has it, a smaller optim_wrapper.loss_scale."
            'init_scale (say 1024), or a longer warm-up (warm_up.max_iters)'
        )
    start = 'Look at the samples first: python tools/check_data.py finds damaged ones. Then try '
    rest = (
        'a longer warm-up (warm_up.max_iters), a lower learning rate, or a smaller optim_wrapper.clip_grad.max_norm'
    )
    return f'{start}{"float32 (without --amp), " if dtype == torch.bfloat16 else ""}{rest}'
