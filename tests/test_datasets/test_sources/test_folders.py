import math

import pytest

from vrtspike.datasets.sources import folders
from vrtspike.errors import ConfigError, DataError


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_hidden_files_and_folders_are_no_part_of_a_data_set(tmp_path):
    touch(tmp_path / 'b')
    touch(tmp_path / 'a', '1.png', '.2.png', '3.dat')
    touch(tmp_path / '.hidden')
    assert folders.subfolders(tmp_path) == [tmp_path / 'a', tmp_path / 'b']
    assert folders.stems_in(tmp_path / 'a', '.png') == {'1'}


def test_stems_of_several_folders_are_sorted_and_absent_folders_have_none(tmp_path):
    touch(tmp_path / 'a', '10.png', '02.png')
    touch(tmp_path / 'b', '03.dat')
    pairs = [(tmp_path / 'a', '.png'), (tmp_path / 'b', '.dat'), (tmp_path / 'c', '.png')]
    assert folders.all_stems(pairs).tolist() == ['02', '03', '10']


def test_a_missing_root_and_a_missing_split_name_the_layout(tmp_path):
    with pytest.raises(DataError, match=r'absent does not exist: prepare it as ROOT/x.*DemoClips'):
        folders.require_root(tmp_path / 'absent', 'ROOT/x')
    with pytest.raises(DataError, match="split 'val' of a data set is laid out as ROOT/x"):
        folders.require_split(tmp_path / 'val', 'val', 'ROOT/x')
    assert folders.require_root(str(tmp_path), 'ROOT/x') == tmp_path


@pytest.mark.parametrize('value', [0, -1, math.nan, math.inf, True, '2', None])
def test_only_finite_positive_numbers_are_taken(value):
    with pytest.raises(ConfigError, match=r'Source got threshold=.*expected a positive float'):
        folders.require_positive('Source', 'threshold', value)


def test_a_whole_number_is_required_where_the_kind_says_so():
    assert folders.require_positive('Source', 'steps', 3, int) == 3
    with pytest.raises(ConfigError, match='expected a positive int'):
        folders.require_positive('Source', 'steps', 3.5, int)


@pytest.mark.parametrize(
    ('text', 'message'), [('a: [', 'is not valid YAML'), ('- 1', 'holds list, expected keys such as spike_h')]
)
def test_an_unusable_config_file_is_named(tmp_path, text, message):
    (tmp_path / 'config.yaml').write_text(text)
    with pytest.raises(DataError, match=message):
        folders.read_config(tmp_path / 'config.yaml')
    assert folders.read_config(tmp_path / 'absent.yaml') == {}


@pytest.mark.parametrize(('found', 'state'), [({}, 'is missing'), ({'n': 'x'}, "is 'x'"), ({'n': -1}, 'is -1')])
def test_a_number_of_a_config_file_says_where_it_belongs(tmp_path, found, state):
    with pytest.raises(DataError, match=f"'n' {state} in .*expected a positive int: write it there, or give n="):
        folders.config_number(found, 'n', int, tmp_path / 'config.yaml', 'give n=')
    assert folders.config_number({'n': 4}, 'n', int, tmp_path, 'give n=') == 4


@pytest.mark.parametrize('size', [3, (1, 2, 3), 'ab c'])
def test_a_spike_size_is_a_pair(size):
    with pytest.raises(ConfigError, match=r'expected \(height, width\)'):
        folders.as_pair(size, 'Source')
    assert folders.as_pair([4, 6], 'Source') == (4, 6)
