"""Values of the wrong kind or out of range are problems with their key, whatever class takes them."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import nn

from vrtspike.config.value_types import fits, in_words, value_problem


class Part:
    def __init__(
        self,
        root: str | os.PathLike,
        width: int = 8,
        rate: float = 0.1,
        flag: bool = False,
        size: int | tuple[int, int] = 64,
        names: Sequence[str] = (),
        mode: Literal['a', 'b'] = 'a',
        loss: dict | nn.Module | None = None,
        limit: int = None,  # noqa: RUF013  as MMEngine writes it
        lr: float | torch.Tensor = 1e-3,
        call: Callable | None = None,
    ): ...


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('root', 'x'),
        ('width', 0),
        ('rate', 1),
        ('flag', True),
        ('size', [32, 64]),
        ('names', ('a',)),
        ('mode', 'b'),
        ('loss', {}),
        ('limit', None),
        ('call', 'default_collate'),
        ('unknown', object()),
    ],
)
def test_what_an_argument_takes(key, value):
    assert value_problem(key, value, Part) is None


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('root', 3, 'expected text, found 3'),
        ('width', '8', "expected a whole number, found '8'"),
        ('width', 8.0, 'expected a whole number, found 8.0'),
        ('width', True, 'expected a whole number, found True'),
        ('width', None, 'expected a whole number, found None'),
        ('rate', '0.1', "expected a number, found '0.1'"),
        ('flag', 'yes', "expected True or False, found 'yes'"),
        ('size', [1, 2, 3], 'expected a whole number or a list of 2 (a whole number each), found [1, 2, 3]'),
        ('size', [32, -1], 'expected 1 or more, found [32, -1]'),
        ('names', 'a', "expected a list (text each), found 'a'"),
        ('mode', 'c', "expected 'a' or 'b', found 'c'"),
        ('limit', 'x', "expected a whole number or None, found 'x'"),
        ('lr', '1e-4', "expected a number or Tensor, found '1e-4'"),
        ('lr', -1.0, 'expected 0 or more, found -1.0'),
        ('lr', float('nan'), 'expected 0 or more, found nan'),
        ('lr', float('inf'), 'expected 0 or more, found inf'),
    ],
)
def test_what_it_does_not_take(key, value, message):
    assert value_problem(key, value, Part) == message


def test_a_path_that_became_a_list_says_how_to_quote_it():
    problem = value_problem('root', ['/data/clips', 'v2'], Part)
    assert problem.endswith("""on the command line, quote text that contains a comma: KEY='"a,b"'""")


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('batch_size', 0, 'expected 1 or more, found 0'),
        ('batch_size', 'x', "expected a whole number, found 'x'"),
        ('num_workers', -1, 'expected 0 or more, found -1'),
        ('persistent_workers', 1, 'expected True or False, found 1'),
    ],
)
def test_arguments_whose_annotations_cannot_be_read(key, value, message):
    assert value_problem(key, value, torch.utils.data.DataLoader) == message


def test_a_gradient_norm_may_be_infinite():
    assert value_problem('max_norm', float('inf'), nn.utils.clip_grad_norm_) is None
    assert value_problem('max_norm', float('nan'), nn.utils.clip_grad_norm_) == 'expected 0 or more, found nan'


def test_shares_are_from_0_to_1():
    assert value_problem('dropout', 1.5, Part) == 'expected 0 to 1, found 1.5'


@pytest.mark.parametrize('hint', [Any, nn.Module, Callable, torch.dtype])
def test_types_that_a_config_cannot_hold_fit_anything(hint):
    assert fits('x', hint)


def test_lists_of_any_length_in_words():
    assert in_words(tuple[int, ...]) == 'a list (a whole number each)'
    assert in_words(list) == 'a list'
