import pytest
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.profiling.parameters import count_parameters, parameters_under


def test_all_parameters_or_the_trainable_ones():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    assert count_parameters(model) == 16 + 10
    assert count_parameters(model, trainable=True) == 10


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['a'], 4),
        (['a.deform'], 2),
        (['a.de'], None),
        (['a.relu'], 0),
        (['a.relu*'], None),
        (['*.deform'], 3),
        (['ab.deform.weight', 'ab'], 2),
    ],
)
def test_names_are_whole_words_or_patterns(names, expected):
    block = nn.ModuleDict({'deform': nn.Linear(1, 1), 'mlp': nn.Linear(1, 1), 'relu': nn.ReLU()})
    other = nn.ModuleDict({'deform': nn.Linear(1, 1, bias=False), 'x': nn.Linear(1, 1, bias=False)})
    model = nn.ModuleDict({'a': block, 'ab': other})
    if expected is None:
        with pytest.raises(ConfigError):
            parameters_under(names, model)
    else:
        assert len(parameters_under(names, model)) == expected
