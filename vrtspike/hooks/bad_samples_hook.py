"""Counts and logs samples that could not be read, and ends the run if there are too many."""

from __future__ import annotations

from mmengine.dist import all_gather_object, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.datasets.clips import too_many_bad_samples
from vrtspike.errors import DataError
from vrtspike.registry import HOOKS

#: Key of the message hub under which the training report finds the number of skipped samples.
MESSAGE_KEY = 'skipped_samples'
SHOWN = 20


@HOOKS.register_module()
class BadSamplesHook(Hook):
    """Reports the samples that a training data set with ``on_bad_sample='skip'`` skipped.

    Training adds this hook automatically. Each skipped sample is a warning in the log, and the last line of the run
    counts and names all of them. More than the data set's ``max_bad_samples`` end the run with an error. The limit
    applies to each process; the last line adds their counts. A resumed run counts from zero.
    """

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.gathered: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Start counting at zero."""
        runner.message_hub.update_info(MESSAGE_KEY, 0, resumed=False)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Log which bad samples were replaced in this batch.

        Raises:
            DataError: There were more than ``max_bad_samples`` of the data set.
        """
        messages = (data_batch or {}).get('meta', {}).get('skipped', [])
        found = [message for text in messages for message in text.splitlines()]
        for message in found:
            runner.logger.warning(f'Skipped a sample that cannot be read: {message}')
        self.skipped += found
        limit = runner.train_dataloader.dataset.max_bad_samples
        if len(self.skipped) > limit:
            raise DataError(too_many_bad_samples(self.skipped, limit))

    def after_train_epoch(self, runner: Runner) -> None:
        """Gather the messages of all processes for the summary and the report."""
        self.gathered = [message for each in all_gather_object(self.skipped) for message in each]
        runner.message_hub.update_info(MESSAGE_KEY, len(self.gathered), resumed=False)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log the number of skipped samples and the name of each."""
        if not self.gathered:
            runner.logger.info('Every sample could be read.')
            return
        names = sorted(set(self.gathered))
        lines = [f'  {self.gathered.count(name)} x {name}' for name in names[:SHOWN]]
        if len(names) > SHOWN:
            lines.append(f'  and {len(names) - SHOWN} more')
        listing = '\n'.join(lines)
        runner.logger.warning(f'{len(self.gathered)} samples were skipped, because they cannot be read:\n{listing}')
