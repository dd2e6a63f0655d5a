"""Largest errors of tensors against their reference. Python's ``max`` ignores a NaN that is not first."""

import math


def largest(errors):
    """Return the largest error; infinity if one of them is no finite number."""
    return max(error if math.isfinite(error) else math.inf for error in errors)


def largest_relative(found, expected, least_scale=0.0):
    """Return the largest error of pairs of tensors, each relative to the largest expected value; 0 for empty tensors.

    A pair whose expected values are all below ``least_scale`` has its error relative to that.
    """
    pairs = [(x.double(), y.double()) for x, y in zip(found, expected, strict=True) if y.numel()]
    return largest([0.0, *(float((x - y).abs().max() / y.abs().max().clamp_min(least_scale)) for x, y in pairs)])
