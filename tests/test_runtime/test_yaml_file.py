import pytest

from vrtspike.errors import ConfigError, DataError
from vrtspike.runtime.yaml_file import read_yaml_mapping


def test_a_mapping_is_read(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('a: 1\nb: [2, 3]\n')
    assert read_yaml_mapping(path, 'keys', DataError) == {'a': 1, 'b': [2, 3]}


@pytest.mark.parametrize('error', [ConfigError, DataError])
@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'a: [', 'is not valid YAML'), (b'\xff\xfe\x00', 'is not valid YAML'), (b'- 1', 'holds list, expected keys')],
)
def test_other_content_is_named(tmp_path, content, message, error):
    path = tmp_path / 'x.yaml'
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_yaml_mapping(path, 'keys', error)
    assert '\n' not in str(caught.value)


def test_no_code_is_run(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('a: !!python/object/apply:os.getcwd []\n')
    with pytest.raises(DataError, match='is not valid YAML'):
        read_yaml_mapping(path, 'keys', DataError)


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match='cannot be read: Is a directory'):
        read_yaml_mapping(tmp_path, 'keys', DataError)
