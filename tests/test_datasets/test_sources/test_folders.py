import pytest

from vrtspike.datasets.sources import folders
from vrtspike.errors import ConfigError, DataError


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_hidden_folders_are_no_part_of_a_data_set(tmp_path):
    for name in ('b', 'a', '.hidden', '__MACOSX'):
        touch(tmp_path / name)
    assert folders.subfolders(tmp_path) == [tmp_path / 'a', tmp_path / 'b']


def test_stems_of_several_folders_come_in_time_order_and_absent_folders_have_none(tmp_path):
    touch(tmp_path / 'a', '10.png', '02.png')
    touch(tmp_path / 'b', '3.dat')
    pairs = [(tmp_path / 'a', '.png'), (tmp_path / 'b', '.dat'), (tmp_path / 'c', '.png')]
    assert folders.all_stems(pairs).tolist() == ['02', '3', '10']


def test_a_missing_root_and_a_missing_split_name_the_layout(tmp_path):
    with pytest.raises(DataError, match=r'absent does not exist: prepare it as ROOT/x.*DemoClips'):
        folders.require_root(tmp_path / 'absent', 'ROOT/x')
    with pytest.raises(DataError, match=r"split 'val' of a data set is laid out as ROOT/x\..*without validation, set"):
        folders.require_split(tmp_path / 'val', 'val', 'ROOT/x')
    with pytest.raises(DataError, match=r"split 'train' of a data set is laid out as ROOT/x\.$"):
        folders.require_split(tmp_path / 'train', 'train', 'ROOT/x')
    assert folders.require_root(str(tmp_path), 'ROOT/x') == tmp_path


def test_the_home_folder_of_a_root_in_a_config_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    touch(tmp_path / 'clips')
    assert folders.require_root('~/clips', 'ROOT/x') == tmp_path / 'clips'


@pytest.mark.parametrize(
    ('text', 'message'), [('a: [', 'is not valid YAML'), ('- 1', 'contains list, expected keys such as spike_h')]
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


@pytest.mark.parametrize('size', [3, (1, 2, 3), 'ab', (0, 4), (4.0, 6)])
def test_a_size_is_a_pair_of_positive_integers(size):
    with pytest.raises(ConfigError, match=r'^Source: size.*expected (\(height, width\)|an integer above zero)'):
        folders.require_pair('Source', size=size)
    folders.require_pair('Source', size=[4, 6])


def test_a_link_to_a_sequence_that_is_gone_is_named(tmp_path):
    touch(tmp_path / 'elsewhere' / 'video')
    split = touch(tmp_path / 'train')
    (split / '000').symlink_to(tmp_path / 'elsewhere' / 'video')
    assert folders.subfolders(split) == [split / '000']
    (split / '001').symlink_to(tmp_path / 'gone')
    with pytest.raises(DataError, match=r'001 links to .*gone, which does not exist'):
        folders.subfolders(split)


def test_a_sequence_has_every_frame_of_its_folders_under_their_own_suffixes(tmp_path):
    blur, sharp = touch(tmp_path / 'blur', '1.JPG', '2.JPG'), touch(tmp_path / 'sharp', '2.png', '3.png')
    spike = touch(tmp_path / 'spike', '4.dat')
    sequence = folders.sequence_in('x', blur, sharp, spike, threshold=2.0)
    assert sequence.stems.tolist() == ['1', '2', '3', '4']
    assert (sequence.image_path('blur', '1').name, sequence.image_path('sharp', '2').name) == ('1.JPG', '2.png')
    assert folders.sequence_in('x', blur, sharp, spike, named_by=['blur']).stems.tolist() == ['1', '2']
    without = folders.sequence_in('x', blur, None, threshold=2.0)
    assert (without.spike, without.threshold, without.stems.tolist()) == (None, None, ['1', '2'])
