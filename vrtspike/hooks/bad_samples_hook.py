"""Samples that could not be read: counted, named in the log, and too many of them end the run."""

from __future__ import annotations

from mmengine.dist import all_gather_object, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.errors import DataError
from vrtspike.registry import HOOKS

#: Where the report of a training finds how many samples were skipped.
MESSAGE_KEY = 'skipped_samples'
SHOWN = 20


@HOOKS.register_module()
class BadSamplesHook(Hook):
    """Follows what a training data set with ``on_bad_sample='skip'`` left out.

    Training registers it by itself. Each skipped sample is a warning in the log, the last line of the run counts them
    all and names them, and beyond the data set's ``max_bad_samples`` the run ends with an error. On several processes
    the limit holds for each of them, and the counts are added up at the end. A resumed run counts anew.
    """

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.gathered: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Begin with none."""
        runner.message_hub.update_info(MESSAGE_KEY, 0, resumed=False)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Log what the samples of this batch stand in for.

        Raises:
            DataError: These are more than the data set's ``max_bad_samples``.
        """
        messages = (data_batch or {}).get('meta', {}).get('skipped', [])
        found = [message for text in messages for message in text.splitlines()]
        for message in found:
            runner.logger.warning(f'Skipped a sample that cannot be read: {message}')
        self.skipped += found
        limit = runner.train_dataloader.dataset.max_bad_samples
        if len(self.skipped) > limit:
            raise DataError(
                f'{len(self.skipped)} samples could not be read, more than max_bad_samples={limit}; the last one is '
                f'{self.skipped[-1]}\nmend the data (python tools/check_data.py ROOT --thorough lists what is wrong), '
                'or raise the limit'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Gather the messages of all processes, for the summary and the report."""
        self.gathered = [message for each in all_gather_object(self.skipped) for message in each]
        runner.message_hub.update_info(MESSAGE_KEY, len(self.gathered), resumed=False)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log how many samples were skipped, and each of them once."""
        if not self.gathered:
            runner.logger.info('Every sample could be read.')
            return
        names = sorted(set(self.gathered))
        lines = [f'  {self.gathered.count(name)} x {name}' for name in names[:SHOWN]]
        if len(names) > SHOWN:
            lines.append(f'  and {len(names) - SHOWN} more')
        listing = '\n'.join(lines)
        runner.logger.warning(f'{len(self.gathered)} samples were skipped since they cannot be read:\n{listing}')
