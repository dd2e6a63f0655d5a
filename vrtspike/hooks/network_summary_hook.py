"""Logs the network that was built, and after the first iteration which backends compute it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.dist import master_only
from mmengine.runner import Runner
from torch import nn

from vrtspike.hooks.observing import ObservingHook
from vrtspike.ops import OPERATORS
from vrtspike.ops.fused_attention import kernels
from vrtspike.profiling.parameters import count_parameters
from vrtspike.registry import HOOKS
from vrtspike.reporting.table import Table
from vrtspike.runtime.distributed import unwrap_model

if TYPE_CHECKING:
    from vrtspike.models.layers.memory_fit import MemoryFit


@HOOKS.register_module()
class NetworkSummaryHook(ObservingHook):
    """Logs a table of the network's parts with their parameters.

    A model may describe its parts with ``summary_rows()``, a list of dicts of columns: ``part`` first, then for example
    ``blocks``, ``window``, ``channels``, and ``parameters`` (a number), which is shown last. For other models the table
    has one row per child. After the first iteration the hook logs which backend of every operator was chosen, and why.
    For networks that choose what activation checkpointing recomputes (``memory_fit``), it logs each choice when it was
    made.
    """

    gives = 'the table of parameters and the choices of backends'

    def __init__(self) -> None:
        self.choices_logged = False
        self.fits: list[MemoryFit] = []
        """Of the network: what chooses for each size of clip."""
        self.fits_logged: set[str] = set()

    @master_only
    def before_run(self, runner: Runner) -> None:
        """Log the table."""
        model = unwrap_model(runner.model)
        runner.logger.info('\n' + network_summary(model))
        self.fits = [module.memory_fit for module in model.modules() if getattr(module, 'memory_fit', None)]

    @master_only
    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Log the choices of the first iteration, and those for further sizes of clips."""
        lines = [line for fit in self.fits for line in fit.lines() if line not in self.fits_logged]
        self.fits_logged.update(lines)
        if not self.choices_logged:
            self.choices_logged = True
            lines = [*backend_choices(), *lines]
        for line in lines:
            runner.logger.info(line)


def network_summary(model: nn.Module) -> str:
    """Return the table of a model's parts, followed by its numbers of parameters and trainable parameters."""
    rows = model.summary_rows() if hasattr(model, 'summary_rows') else child_rows(model)
    columns = sorted(dict.fromkeys(name for row in rows for name in row), key='parameters'.__eq__)
    cells = [[_cell(row.get(name) or None) for name in columns] for row in rows]
    total, trainable = count_parameters(model), count_parameters(model, trainable=True)
    note = f'{total:,} parameters, {trainable:,} of them trainable'
    return Table(title=f'{type(model).__name__} as built', columns=columns, rows=cells, notes=[note]).text()


def backend_choices() -> list[str]:
    """Return the choices so far: backends of operators, and PyTorch's attention kernels."""
    lines = [
        f'{operator.name} ({case}): {choice}'
        for operator in OPERATORS.values()
        for case, choice in operator.choices.items()
    ]
    return lines + [f'scaled_dot_product_attention ({case}): {kernel}' for case, kernel in kernels.items()]


def child_rows(model: nn.Module) -> list[dict]:
    """Return a row for each child of ``model`` that has parameters."""
    rows = [{'part': name, 'parameters': count_parameters(child)} for name, child in model.named_children()]
    return [row for row in rows if row['parameters']]


def _cell(value: object) -> object:
    return f'{value:,}' if isinstance(value, int) and not isinstance(value, bool) else value
