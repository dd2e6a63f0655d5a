"""Training loops."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn
from torch.utils.data import DataLoader

from vrtspike.datasets.samplers import SAMPLES_SEEN_KEY
from vrtspike.registry import LOOPS


class SkippedIterator(_InfiniteDataloaderIterator):
    """Batches of a loader whose sampler has skipped, by samples, what MMEngine would skip by iterations."""

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing."""


@LOOPS.register_module()
class SkippingIterLoop(IterBasedTrainLoop):
    """MMEngine's iteration-based loop with a sampler that skips what a resumed run has already seen.

    MMEngine itself reads every batch up to there and throws it away. The number of samples is counted and not derived
    from the iteration, so that the batch size and the number of processes may change in between. Arguments are those of
    ``IterBasedTrainLoop``.
    """

    def run(self) -> nn.Module:
        """Train up to ``max_iters``."""
        if self._iter and hasattr(self.dataloader.sampler, 'skip'):
            self.skip_seen()
            self.dataloader_iterator = SkippedIterator(self.dataloader)
            self.fast_forward_on_resume = False  # MMEngine would warn of data that are trained on again
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
        """Let the sampler skip what was trained on; each process skips an equal share."""
        self.dataloader.sampler.skip(self.samples_seen // get_world_size())

    @property
    def samples_per_iteration(self) -> int:
        """How many samples all processes together take in one iteration."""
        return self.dataloader.batch_size * get_world_size()

    @property
    def samples_seen(self) -> int:
        """How many samples all processes together have trained on."""
        return self.runner.message_hub.get_info(SAMPLES_SEEN_KEY, self._iter * self.samples_per_iteration)
