import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike import errors
from vrtspike.errors import VrtSpikeError, did_you_mean

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
