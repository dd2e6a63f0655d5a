import pytest

from vrtspike.datasets.io.listing import common_suffix, files_in_time_order, stems_in, time_order, visible_names
from vrtspike.errors import DataError


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_hidden_files_are_no_part_of_a_data_set(tmp_path):
    touch(tmp_path, '1.png', '._1.png', '.DS_Store', '2.dat', '__MACOSX', '@eaDir')
    assert set(visible_names(tmp_path)) == {'1.png', '2.dat'}
    assert stems_in(tmp_path, '.png') == {'1'}


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['10', '9', '1'], ['1', '9', '10']),
        (['frame_10', 'frame_9', 'frame_100'], ['frame_9', 'frame_10', 'frame_100']),
        (['b2', 'b10', 'a3', 'a20'], ['a3', 'a20', 'b2', 'b10']),
        (['0002', '0001', '0010'], ['0001', '0002', '0010']),
        (['1_10', '1_9', '01_8'], ['01_8', '1_9', '1_10']),
        (['last', 'first'], ['first', 'last']),
    ],
)
def test_names_are_ordered_by_the_numbers_in_them(names, expected):
    assert time_order(names) == expected


def test_names_that_differ_in_leading_zeros_have_no_order():
    with pytest.raises(DataError, match="names '001' and '1' have the same number"):
        time_order(['1', '001', '2'])


@pytest.mark.parametrize(
    ('names', 'suffix'), [(['1.JPG', '2.JPG', 'notes.txt'], '.JPG'), (['1.jpeg', '.2.png'], '.jpeg'), ([], None)]
)
def test_the_suffix_is_that_of_the_files(tmp_path, names, suffix):
    assert common_suffix(touch(tmp_path / 'a', *names), ('.jpg', '.jpeg', '.png')) == suffix
    assert common_suffix(tmp_path / 'absent', ('.png',)) is None


@pytest.mark.parametrize('names', [['1.png', '2.PNG'], ['0001.jpg', '0001.png', '0002.png']])
def test_several_suffixes_are_refused(tmp_path, names):
    with pytest.raises(DataError, match=r'has files with the suffixes \.(PNG|jpg), \.png: expected one'):
        files_in_time_order(touch(tmp_path, *names))


def test_frames_of_a_folder_come_in_time_order(tmp_path):
    touch(tmp_path, '10.JPG', '9.JPG', '1.JPG', '._1.jpg', 'notes.txt')
    assert [path.name for path in files_in_time_order(tmp_path)] == ['1.JPG', '9.JPG', '10.JPG']


def test_a_folder_without_frames_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'has no files with one of the suffixes \.png, \.jpg'):
        files_in_time_order(touch(tmp_path, 'notes.txt'))
