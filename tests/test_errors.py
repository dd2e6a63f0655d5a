import errno
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike import errors
from vrtspike.errors import (
    ConfigError,
    VrtSpikeError,
    describe,
    did_you_mean,
    explain_os_error,
    require_positive,
    require_positive_integers,
)

NAMES = st.lists(st.text(min_size=1, max_size=10), max_size=8)


@pytest.mark.parametrize('name', ['ConfigError', 'RegistryError', 'DataError', 'CheckpointError'])
def test_all_are_mendable_value_errors(name):
    assert issubclass(getattr(errors, name), VrtSpikeError)
    assert issubclass(VrtSpikeError, ValueError)


def test_closest_name():
    assert did_you_mean('lernable', ['learnable', 'fixed']) == "; did you mean 'learnable'?"


def test_several_close_names():
    assert did_you_mean('stage_10', ['stage_1', 'stage_11', 'other']) in (
        "; did you mean 'stage_1' or 'stage_11'?",
        "; did you mean 'stage_11' or 'stage_1'?",
    )


def test_case_does_not_matter():
    assert did_you_mean('vrt', ['VRT', 'Other']) == "; did you mean 'VRT'?"


def test_all_names_where_none_is_close():
    assert did_you_mean('xyz', ['b', 'a', 'b']) == '; known: a, b'


def test_nothing_known():
    assert did_you_mean('x', []) == '; nothing is known here'


@given(name=st.text(max_size=10), known=NAMES)
def test_always_a_clause_that_names_something_known(name, known):
    hint = did_you_mean(name, known)
    assert hint.startswith('; ')
    assert not known or any(candidate in hint or repr(candidate) in hint for candidate in known)


@given(known=NAMES.filter(bool), data=st.data())
def test_a_known_name_is_its_own_closest(known, data):
    name = data.draw(st.sampled_from(known))
    assert any(repr(candidate) in did_you_mean(name, known) for candidate in known if candidate.lower() == name.lower())


def test_numbers_that_work_pass():
    require_positive('Part', ratio=0.5, delta=np.float32(1e-3), weight=2)
    require_positive_integers('Part', heads=4, channels=np.int64(96))


@pytest.mark.parametrize('value', [0, -1.5, float('nan'), float('inf'), True, '1e-4', None])
def test_other_values_are_refused_by_name(value):
    with pytest.raises(ConfigError, match=r'^Part: ratio=.*expected a number above zero'):
        require_positive('Part', delta=1.0, ratio=value)


@pytest.mark.parametrize('value', [0, -4, 4.0, True, '4'])
def test_other_counts_are_refused_by_name(value):
    with pytest.raises(ConfigError, match=r'^Part: heads=.*expected an integer above zero'):
        require_positive_integers('Part', channels=96, heads=value)


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (OSError(errno.ENOSPC, 'No space left on device'), 'No space left on device: free some space, or '),
        (
            PermissionError(errno.EACCES, 'Permission denied', b'/x'),
            '/x: Permission denied: change its permissions, or ',
        ),
        (
            OSError(errno.EROFS, 'Read-only file system', '/x'),
            '/x: Read-only file system: choose a folder that is not ',
        ),
        (FileNotFoundError(errno.ENOENT, 'No such file or directory'), 'No such .*: the working directory was removed'),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            r"No usable .* found in \['/tmp'\]: set TMPDIR to a folder",
        ),
        (OSError(errno.EXDEV, 'Invalid cross-device link', '/x'), '/x: Invalid cross-device link$'),
        (OSError('no such format'), 'no such format$'),
        (OSError(), 'OSError$'),
    ],
)
def test_errors_of_the_system_say_what_to_do(error, text):
    assert re.match(text, explain_os_error(error)), explain_os_error(error)


@pytest.mark.parametrize(
    ('error', 'text'),
    [(OSError('full\nof files'), 'OSError: full'), (ZeroDivisionError(), 'ZeroDivisionError')],
)
def test_an_error_is_described_by_its_type_and_first_line(error, text):
    assert describe(error) == text
