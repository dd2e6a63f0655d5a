"""Training loops."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn
from torch.utils.data import DataLoader

from vrtspike.datasets.samplers import SAMPLES_SEEN_KEY
from vrtspike.errors import DataError
from vrtspike.registry import LOOPS


class SkippedIterator(_InfiniteDataloaderIterator):
    """The batches of a loader. Its sampler has already skipped the samples that were seen."""

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing. MMEngine would skip ``num_iters`` batches."""


@LOOPS.register_module()
class SkippingIterLoop(IterBasedTrainLoop):
    """MMEngine's iteration-based loop, resumed at the next sample and not at the next batch.

    The checkpoint counts samples, and the sampler skips those without reading them. The batch size and the number of
    processes may therefore change when a run is resumed. Arguments are those of ``IterBasedTrainLoop``.
    """

    def run(self) -> nn.Module:
        """Train up to ``max_iters``.

        Raises:
            DataError: The training or the validation data make no batch.
        """
        require_batches('train_dataloader', self.dataloader)
        if self.runner.val_loop is not None:
            require_batches('val_dataloader', self.runner.val_loop.dataloader)
        if self._iter and hasattr(self.dataloader.sampler, 'skip'):
            self.skip_seen()
            self.dataloader_iterator = SkippedIterator(self.dataloader)
            self.fast_forward_on_resume = False  # otherwise MMEngine warns that data is repeated
        return super().run()

    def run_iter(self, data_batch: Any) -> None:
        """Count the samples of a batch, then train on it."""
        self.runner.message_hub.update_info(SAMPLES_SEEN_KEY, self.samples_seen + self.samples_per_iteration)
        super().run_iter(data_batch)

    def replace_dataloader(self, dataloader: DataLoader) -> None:
        """Continue with another data loader, at the next sample."""
        dataloader.worker_init_fn = self.dataloader.worker_init_fn
        self.dataloader = dataloader
        self.skip_seen()
        self.dataloader_iterator = SkippedIterator(dataloader)

    def skip_seen(self) -> None:
        """Let the sampler skip the samples seen so far; each process skips an equal share."""
        self.dataloader.sampler.skip(self.samples_seen // get_world_size())

    @property
    def samples_per_iteration(self) -> int:
        """How many samples all processes together take in one iteration."""
        return self.dataloader.batch_size * get_world_size()

    @property
    def samples_seen(self) -> int:
        """How many samples all processes together have trained on."""
        return self.runner.message_hub.get_info(SAMPLES_SEEN_KEY, self._iter * self.samples_per_iteration)


def require_batches(name: str, loader: DataLoader) -> None:
    """Raise :class:`DataError` if a data loader has no batches; MMEngine has no clear error for this."""
    if isinstance(loader.dataset, Sized) and len(loader) == 0:
        raise DataError(
            f'{name}: {len(loader.dataset)} clips on {get_world_size()} process(es) make no batch of '
            f'batch_size={loader.batch_size} with drop_last={loader.drop_last}: lower {name}.batch_size, or set '
            f'{name}.drop_last=False'
        )
