"""Networks that mark no stage, whose modules are named by their paths."""

from planted import plant
from torch import nn


class Net(nn.Module):
    """Calls a function with itself and an input."""

    def __init__(self, run=None, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.run(self, x)


class Half(nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, :2]


def linear(clock, forward_ms, backward_ms):
    return plant(nn.Linear(4, 4), clock, forward_ms, backward_ms)
