import pytest
from writers.wording import device_name


@pytest.mark.parametrize(
    ('device', 'name'),
    [
        ({'name': 'A'}, 'A'),
        ({'name': 'A', 'threads': 1}, 'A, 1 thread'),
        ({'name': 'A', 'threads': 2}, 'A, 2 threads'),
    ],
)
def test_device_name(device, name):
    assert device_name(device) == name
