"""Training loops."""

from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from vrtspike.registry import LOOPS

#: Where the checkpoint's message hub keeps how many samples all processes together have trained on.
SAMPLES_KEY = 'samples_seen'


@LOOPS.register_module()
class SkippingIterLoop(IterBasedTrainLoop):
    """MMEngine's iteration-based loop, whose sampler skips what a resumed run has already seen.

    MMEngine reads and throws away every batch up to there. How many samples were seen is counted rather than worked out
    from the iteration, so that batch size and number of processes may change in between. Arguments are those of
    ``IterBasedTrainLoop``.
    """

    def run(self):
        """Train up to ``max_iters``."""
        if self._iter and hasattr(self.dataloader.sampler, 'skip'):
            self.skip_seen()
            self.fast_forward_on_resume = True
        return super().run()

    def run_iter(self, data_batch):
        """Count the samples of a batch, then train on it."""
        self.runner.message_hub.update_info(SAMPLES_KEY, self.samples_seen + self.samples_per_iteration)
        super().run_iter(data_batch)

    def replace_dataloader(self, dataloader: DataLoader) -> None:
        """Go on with another data loader, from the sample that is due."""
        dataloader.worker_init_fn = self.dataloader.worker_init_fn
        self.dataloader = dataloader
        self.skip_seen()
        self.dataloader_iterator = _InfiniteDataloaderIterator(dataloader)

    def skip_seen(self) -> None:
        """Let the sampler leave out what was trained on; the processes share that equally."""
        self.dataloader.sampler.skip(self.samples_seen // get_world_size())

    @property
    def samples_per_iteration(self) -> int:
        """How many samples all processes take in one iteration."""
        return self.dataloader.batch_size * get_world_size()

    @property
    def samples_seen(self) -> int:
        """How many samples all processes together have trained on."""
        return self.runner.message_hub.get_info(SAMPLES_KEY, self._iter * self.samples_per_iteration)
