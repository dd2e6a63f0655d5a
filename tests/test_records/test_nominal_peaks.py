import pytest

from vrtspike.records.nominal_peaks import PRECISIONS, TFLOPS, nominal_peak


@pytest.mark.parametrize(
    ('name', 'precision', 'gmacs_per_s'),
    [
        ('NVIDIA H100 80GB HBM3', 'bfloat16', 494_500),
        ('NVIDIA H100 PCIe', 'bfloat16', 378_000),
        ('NVIDIA H100 NVL', 'tf32', 208_750),
        ('NVIDIA H200', 'float32', 33_500),
        ('NVIDIA A100-SXM4-80GB', 'bfloat16', 156_000),
        ('NVIDIA A100 80GB PCIe', 'tf32', 78_000),
        ('Tesla V100-SXM2-16GB', 'float16', 62_500),
        ('NVIDIA L4', 'bfloat16', 60_500),
        ('NVIDIA L40S', 'bfloat16', 181_000),
        ('NVIDIA GeForce RTX 4090', 'float32', 41_300),
    ],
)
def test_the_names_that_pytorch_gives(name, precision, gmacs_per_s):
    peak = nominal_peak(name, precision)
    assert (peak.gmacs_per_s, peak.precision) == (gmacs_per_s, precision)
    assert peak.source.startswith('https://')


@pytest.mark.parametrize(
    ('name', 'precision'),
    [
        ('Intel(R) Xeon(R) Platinum', 'float32'),
        ('NVIDIA GeForce RTX 3090 Ti', 'float32'),
        ('NVIDIA GeForce RTX 4090 Laptop GPU', 'float32'),
        ('NVIDIA L40', 'bfloat16'),
        ('Tesla V100-SXM2-16GB', 'bfloat16'),
        ('NVIDIA L4', 'float64'),
    ],
)
def test_others_are_not_known(name, precision):
    assert nominal_peak(name, precision) is None


def test_every_entry_has_a_rate_for_every_precision():
    assert all(len(rates) == len(PRECISIONS) for _, rates, _ in TFLOPS)
