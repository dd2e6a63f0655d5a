"""The record of a search in one of the report's languages."""

from __future__ import annotations

from dataclasses import dataclass

from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.output_config import with_interval
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.report.texts import text_in
from vrtspike.tuner.trials import is_known


@dataclass(frozen=True)
class View:
    """The record of a search and the language that it is shown in."""

    record: SearchRecord
    language: str

    def text(self, key: str, **values: object) -> str:
        """Return one of the report's texts with its values."""
        return text_in(self.language, key, **values)

    def answer(self, is_so: bool) -> str:
        """Return yes or no."""
        return self.text('yes' if is_so else 'no')

    @property
    def title(self) -> str:
        """The report's title."""
        return self.text('title', config=self.record.config)

    @property
    def whole(self) -> str:
        """What the shares of the stages are shares of."""
        return self.text(f'whole_{self.record.objective}')

    def difference(self, difference: Difference) -> str:
        """Return a difference in quality with its interval, or that it is not informative."""
        return with_interval(difference) if is_known(difference) else self.text(difference.verdict)
