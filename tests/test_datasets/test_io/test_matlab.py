import struct

import numpy as np
import pytest
import scipy.io

from vrtspike.datasets.io.matlab import numeric_variables

ARRAY = np.arange(24).reshape(2, 3, 4)


def matlab_file(path, compressed, **variables):
    scipy.io.savemat(path, variables, do_compression=compressed)
    return memoryview(path.read_bytes())


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'int16', 'int64', 'float32', 'float64'])
def test_numbers_are_read_as_scipy_writes_them(tmp_path, compressed, dtype):
    others = {'text': 'a text', 'cell': np.array([1, 'x'], dtype=object), 'struct': {'a': 1}}
    found = numeric_variables(
        matlab_file(tmp_path / 'x.mat', compressed, a=ARRAY.astype(dtype), long_name=ARRAY[0], **others)
    )
    assert {name: variable.shape for name, variable in found.items()} == {'a': (2, 3, 4), 'long_name': (3, 4)}
    np.testing.assert_array_equal(found['a'].read(), ARRAY.astype(dtype))
    np.testing.assert_array_equal(found['long_name'].read(), ARRAY[0])


def test_a_shape_that_the_numbers_do_not_fill_is_refused(tmp_path):
    data = bytearray(matlab_file(tmp_path / 'x.mat', False, a=ARRAY))
    at = data.index(struct.pack('3i', 2, 3, 4))
    data[at : at + 12] = struct.pack('3i', 10**6, 10**4, 10**4)
    (variable,) = numeric_variables(memoryview(data)).values()
    assert variable.size() < 1024
    with pytest.raises(ValueError, match='cannot reshape'):
        variable.read()


def test_elements_beyond_the_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match='exceeds its'):
        numeric_variables(matlab_file(tmp_path / 'x.mat', False, a=ARRAY)[:-8])


def test_an_old_version_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / 'x.mat', {'a': ARRAY[0]}, format='4')
    with pytest.raises(ValueError, match='expected the header of version 5 or later'):
        numeric_variables(memoryview((tmp_path / 'x.mat').read_bytes()))
