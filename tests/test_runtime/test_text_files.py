import pytest

from vrtspike.errors import ConfigError, DataError
from vrtspike.runtime.text_files import read_yaml_mapping


def test_a_mapping_is_read(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('a: 1\nb: [2, 3]\n')
    assert read_yaml_mapping(path, 'keys', DataError) == {'a': 1, 'b': [2, 3]}


@pytest.mark.parametrize('error', [ConfigError, DataError])
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a: [', 'is not valid YAML'),
        (b'x: \n\xd1', r'is not UTF-8 text \(byte 0xd1 in line 2\): save it'),
        (b'\xef\xbb\xbf3', 'contains int'),
        (b'- 1', 'contains list, expected keys'),
    ],
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
    with pytest.raises(DataError, match='Is a directory: expected a file'):
        read_yaml_mapping(tmp_path, 'keys', DataError)


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('a: 1\r\n', encoding='utf-8-sig')
    assert read_yaml_mapping(path, 'keys', DataError) == {'a': 1}


def test_aliases_may_not_stand_for_billions(tmp_path):
    path = tmp_path / 'x.yaml'
    lines = ['a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]']
    lines += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 9)]
    path.write_text('\n'.join(lines))
    with pytest.raises(DataError, match=r'contains 1e\+09 values, expected at most 100000'):
        read_yaml_mapping(path, 'keys', DataError)
    path.write_text('\n'.join(lines[:3]))
    assert len(read_yaml_mapping(path, 'keys', DataError)['a2']) == 10


@pytest.mark.parametrize('content', ['a: &a [*a]', 'a: &a {b: *a}', f'a: {"[" * 5000}'])
def test_endless_and_very_deep_content_is_refused(tmp_path, content):
    path = tmp_path / 'x.yaml'
    path.write_text(content)
    with pytest.raises(DataError, match='is not valid YAML'):
        read_yaml_mapping(path, 'keys', DataError)


def test_damaged_yaml(tmp_path, fuzz_reader):
    nested = (
        'a: &a [1, 2.5, 1e4, .inf, 2026-01-01, 0x1f, 0b1, 1:30]\nb: &b [*a, *a]\nc: {<<: {d: "\\u00e9"}, e: [*b, *b]}\n'
    )
    (tmp_path / 'nested.yaml').write_text(nested)
    (tmp_path / 'tags.yaml').write_text('x: !!set {? a}\ny: !!binary aGk=\nz: !!omap [a: 1]\nt: |\n  text\n  text\n')
    fuzz_reader(lambda path: read_yaml_mapping(path, 'keys', DataError))
