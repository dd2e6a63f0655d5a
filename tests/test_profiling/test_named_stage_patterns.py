"""Which modules a path or a pattern names, and what is said of those that cannot be measured."""

import pytest
import torch
from named_networks import Net
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from vrtspike.errors import ConfigError
from vrtspike.profiling import listening
from vrtspike.profiling.named_stages import NamedStages
from vrtspike.profiling.timer import StageTimer


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.mlp(self.attn(x))


def layered():
    model = nn.Module()
    model.stem = nn.Linear(4, 4)
    model.layers = nn.ModuleList(nn.ModuleList([Block(), Block()]) for _ in range(2))
    return model


@pytest.mark.parametrize(
    ('patterns', 'paths'),
    [
        ('stem', ['stem']),
        ('layers.1', ['layers.1.0', 'layers.1.1']),  # a ModuleList is never called
        ('layers', ['layers.0.0', 'layers.0.1', 'layers.1.0', 'layers.1.1']),
        ('*.mlp', [f'layers.{i}.{j}.mlp' for i in range(2) for j in range(2)]),
        ('layers.0.*', ['layers.0.0', 'layers.0.1']),  # and not what is inside of them
        (['layers.[1].0', 'stem'], ['stem', 'layers.1.0']),
    ],
)
def test_patterns(patterns, paths):
    model = layered()
    found = NamedStages(model, {'x': patterns})._watched
    assert [path for path, module in model.named_modules() if module in found] == paths


def test_names_of_wrappers_are_no_part_of_a_path():
    model = layered()
    model.stem = checkpoint_wrapper(model.stem)
    model.layers[0][0] = torch.compile(checkpoint_wrapper(model.layers[0][0]))
    found = NamedStages(model, {'stem': 'stem', 'block': 'layers.0.0', 'mlp': 'layers.0.0.mlp'})._watched
    assert [found[module].name for module in (model.stem, model.layers[0][0])] == ['stem', 'block']
    assert len(found) == 3


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        ({'stem': 'sten'}, "stages['stem']='sten' matches no module; did you mean 'stem'?"),
        ({'mlp': '*.mpl'}, "stages['mlp']='*.mpl' matches no module; did you mean '*.mlp'?"),
        ({'x': ['stem', 'backbone.conv1']}, "stages['x']='backbone.conv1' matches no module; known: layers, stem"),
        ({'a': '*.mlp', 'b': 'layers.1.0.mlp'}, "stages: 'a' and 'b' both match the module 'layers.1.0.mlp'"),
        ({'a/b': 'stem'}, "stages: 'a/b' cannot be the name of a stage; expected text without a slash"),
        ({'data': 'stem'}, "stages: 'data' is a stage of every iteration; choose another name"),
        ({'a': 3}, "stages['a']: 3 is no path of a module"),
        (['stem'], "stages=['stem']: expected paths of modules by stage, such as {'stem': 'conv1'}"),
    ],
)
def test_what_cannot_be_named(stages, message):
    with pytest.raises(ConfigError) as error:
        NamedStages(layered(), stages)
    assert str(error.value) == message


class Hides(nn.Linear):
    """Its result is where nobody sees it."""

    def forward(self, x):
        self.result = super().forward(x)
        return 'done'


def test_what_cannot_be_told_apart_is_said(clock):
    def run(net, x):
        net.hides(x)
        return net.hides.result

    model = Net(run, hides=Hides(4, 4), unused=nn.Linear(4, 4))
    with NamedStages(model, {'unused': 'unused', 'hides': 'hides'}) as named, listening(StageTimer(clock)):
        model(torch.ones(1, 4)).sum().backward()
    unused, hides = named.limits()
    assert named.names == ('hides', 'unused')
    assert hides == ('stage hides: its backward pass is in other, because it returned no tensor of it')
    assert unused == 'stage unused: none of its modules was called outside of a compiled graph'
