"""Keeps NaN and infinity out of the weights."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.tensor import DTensor

from vrtspike.datasets.samplers import SAMPLES_SEEN_KEY
from vrtspike.errors import TrainingError, describe
from vrtspike.optim import StepListener, subscribe, unsubscribe
from vrtspike.records.rank_files import file_of_rank
from vrtspike.registry import HOOKS
from vrtspike.runtime.distributed import any_rank_of, gather
from vrtspike.runtime.readback import Readback

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


@dataclass
class _Iteration:
    """An iteration whose loss and gradient the host has not read yet."""

    number: int
    found: Readback
    """The loss, and whether the loss and the gradient were not finite since the last step."""
    step: bool
    """Whether a step followed, unless it was skipped."""
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

    On a GPU with a fused optimizer the host never waits: the GPU skips the step by itself, as under a gradient scaler,
    and the hook counts, writes and ends the run one iteration later. With another optimizer, or a sharded
    network, the host waits for the gradient before each step.

    Args:
        in_a_row: Number of consecutive skipped steps that ends the run.
        in_all: Number of skipped steps in the whole run that ends it.
    """

    # First of the hooks after an iteration, so that no checkpoint is written before the limits are checked.
    priority = 'VERY_HIGH'

    def __init__(self, in_a_row: int = 5, in_all: int = 100) -> None:
        self.limits = {'in a row': in_a_row, 'in all': in_all}
        self.row = 0
        self._spoilt: Tensor | None = None
        """Whether a loss was not finite since the last step, on the device; None directly after a step."""
        self._unread: deque[_Iteration] = deque()
        self._begin_iteration()

    def _begin_iteration(self) -> None:
        self._loss = self._flags = None
        self._step = False

    def before_train(self, runner: Runner) -> None:
        """Listen to the optimizer wrapper."""
        if SKIPPED_KEY not in runner.message_hub.runtime_info:
            runner.message_hub.update_info(SKIPPED_KEY, 0)
        self._wrapper = runner.optim_wrapper
        subscribe(self._wrapper, self)

    def after_train(self, runner: Runner) -> None:
        """Stop listening, and read what is left."""
        unsubscribe(self._wrapper, self)
        self._read(runner)

    def before_update(self, loss: Tensor) -> None:
        """Check the loss, on all processes together."""
        self._loss = loss.detach().reshape(())
        bad = any_rank_of(~self._loss.isfinite())
        self._spoilt = bad if self._spoilt is None else self._spoilt.to(bad.device) | bad
        self._flags = torch.stack([self._spoilt, torch.zeros_like(bad)])

    def may_backpropagate(self) -> bool:
        """Refuse the backward pass if a loss was not finite since the last step, where the host knows it at once."""
        return self._spoilt.is_cuda or not bool(self._spoilt)

    def may_step(self) -> bool:
        """Refuse a step if the loss or the gradient was not finite, or let the device skip it."""
        if not has_loss_scaling(self._wrapper):
            self._flags = torch.stack([self._spoilt, any_rank_of(~gradients_finite(self._wrapper))])
        if skips_on_device(self._wrapper):
            self._wrapper.optimizer.found_inf = self._flags.any().float()
            return True
        return not bool(self._flags.any())

    def after_step(self, taken: bool) -> None:
        """Begin to look at the iterations of the next step."""
        vars(self._wrapper.optimizer).pop('found_inf', None)
        self._step, self._spoilt = True, None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Record a non-finite iteration, and end the run if a limit is reached.

        Raises:
            TrainingError: A limit is reached. The message gives advice.
        """
        if self._loss is None:  # nothing has called the optimizer wrapper
            return
        found = Readback(torch.cat([self._loss.double().view(1), self._flags.double()]))
        samples = list(sample_identities(runner, data_batch))
        self._unread.append(_Iteration(runner.iter + 1, found, self._step, samples))
        late = iterations_late(self._loss)
        self._begin_iteration()
        self._read(runner, late)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the state between two steps; a run that has reached a limit ends without this checkpoint."""
        self._read(runner)
        spoilt = self._spoilt is not None and bool(self._spoilt)
        checkpoint['nonfinite'] = {'row': self.row, 'spoilt': 'loss' if spoilt else None}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore this state in a resumed run."""
        if runner._resume and 'nonfinite' in checkpoint:
            self.row = checkpoint['nonfinite']['row']
            self._spoilt = torch.tensor(checkpoint['nonfinite']['spoilt'] is not None)

    def _read(self, runner: Runner, leave: int = 0) -> None:
        """Write and count the iterations so far, except for the last ``leave``."""
        while len(self._unread) > leave:
            iteration = self._unread.popleft()
            loss, bad_loss, bad_gradient = iteration.found.values()
            what = 'loss' if bad_loss else 'gradient' if bad_gradient else None
            if what:
                self._write(runner, iteration, what, loss)
            if iteration.step and what:
                self._count(runner, iteration, what, loss)
            elif iteration.step:
                self.row = 0

    def _write(self, runner: Runner, iteration: _Iteration, what: str, loss: float) -> None:
        loss = loss if math.isfinite(loss) else str(loss)
        record = NonFiniteIteration(iteration.number, what, loss, iteration.samples)
        line = json.dumps(msgspec.to_builtins(record))
        path = Path(runner.work_dir, file_of_rank(FILE, get_rank()))
        try:
            with path.open('a', encoding='utf-8') as file:
                file.write(line + '\n')
        except OSError as error:
            runner.logger.warning(f'{path} cannot be written ({describe(error)}). Its line would be: {line}')

    def _count(self, runner: Runner, iteration: _Iteration, what: str, loss: float) -> None:
        skipped = runner.message_hub.get_info(SKIPPED_KEY) + 1
        runner.message_hub.update_info(SKIPPED_KEY, skipped)
        runner.message_hub.update_scalar('train/skipped_steps', skipped)
        self.row += 1
        runner.logger.warning(
            f'The {what} is not finite (loss {loss:g}): step skipped at iteration {iteration.number}, '
            f'{skipped} so far; the samples are in {FILE}'
        )
        for (when, limit), count in zip(self.limits.items(), (self.row, skipped), strict=True):
            if count >= limit:
                raise TrainingError(
                    f'{count} steps {when} had a {what} that is not finite; the samples are in '
                    f'{Path(runner.work_dir, FILE)} and the weights are untouched. {advice(self._wrapper)}'
                )


def has_loss_scaling(wrapper: OptimWrapper) -> bool:
    """Return whether a gradient scaler is active. It skips overflowing steps itself."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def iterations_late(loss: Tensor) -> int:
    """Return how many iterations the host lets pass before it reads a loss. All processes end in the same iteration."""
    return 1 if loss.is_cuda else 0


def skips_on_device(wrapper: OptimWrapper) -> bool:
    """Return whether the optimizer's kernels skip a step that ``found_inf`` marks, as those of fused optimizers do."""
    groups = wrapper.optimizer.param_groups
    first = groups[0]['params'][0]
    if not first.is_cuda or isinstance(first, DTensor):  # the flag is no part of a sharded network
        return False
    # A gradient scaler sets found_inf itself.
    return all(group.get('fused') for group in groups) and not has_loss_scaling(wrapper)


def gradients_finite(wrapper: OptimWrapper) -> Tensor:
    """Return whether all gradients of the next step are finite in this process, on their device."""
    parameters = [each for group in wrapper.optimizer.param_groups for each in group['params']]
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not gradients:
        return torch.tensor(True, device=parameters[0].device)
    return gather(torch.nn.utils.get_total_norm(gradients)).isfinite()


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
