"""Errors that are no numbers are the largest."""

import math

import pytest
import torch
from errors_of_tensors import largest, largest_relative


@pytest.mark.parametrize('errors', [[math.nan, 0.5], [0.5, math.nan], [0.5, math.inf]])
def test_an_error_that_is_no_finite_number_is_the_largest(errors):
    assert largest(errors) == math.inf


@pytest.mark.parametrize('broken', [math.nan, math.inf])
def test_a_broken_value_anywhere_is_found(broken):
    expected = torch.ones(2), torch.ones(3)
    assert largest_relative([torch.ones(2), torch.tensor([1, broken, 1])], expected) == math.inf
    assert largest_relative([torch.tensor([1, broken]), torch.ones(3)], expected) == math.inf


def test_errors_are_relative_to_the_largest_expected_value_or_the_least_scale():
    expected = [torch.tensor([0.0, 4.0]), torch.zeros(2), torch.zeros(0)]
    found = [torch.tensor([1.0, 4.0]), torch.full((2,), 0.25), torch.zeros(0)]
    assert largest_relative(found, expected, least_scale=0.5) == 0.5
    assert largest_relative(found[:1], expected[:1]) == 0.25
    assert largest_relative(found[2:], expected[2:]) == 0
