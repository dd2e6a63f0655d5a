"""The templates of plugins are plugins themselves: their tests pass, and what is written differs only in names."""

import re
from pathlib import Path

import pytest
from tool_processes import run_pytest

from vrtspike.config.reading import read_config
from vrtspike.scaffolding import KINDS
from vrtspike.scaffolding.writing import TEMPLATES, class_name_of, texts_of


def test_there_is_a_template_for_every_kind():
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == {f'new_{kind}' for kind in KINDS}


def test_the_tests_of_all_templates_pass():
    process = run_pytest('-p', 'no:cacheprovider', TEMPLATES)
    assert process.returncode == 0, process.stdout
    assert f'{len(KINDS)} passed' in process.stdout


@pytest.mark.parametrize('kind', KINDS)
def test_their_configs_can_be_read_where_they_are(kind):
    config = read_config(TEMPLATES / f'new_{kind}/config.py')
    assert config.plugins == [str(TEMPLATES / f'new_{kind}')]
    assert class_name_of(f'new_{kind}') in config.pretty_text


@pytest.mark.parametrize('kind', KINDS)
def test_no_name_of_a_template_is_left_and_paths_are_not_changed(kind):
    folder = Path(f'/plugins/new_{kind}/{class_name_of(kind)}/mine')
    texts = texts_of(kind, 'mine', class_name_of('mine'), folder, is_home=False)
    assert list(texts) == ['mine.py', 'config.py', 'test_mine.py', 'README.md']
    assert f'python tools/train.py {folder}/config.py' in texts['config.py']
    for text in texts.values():
        assert not re.search(f'new_{kind}|{class_name_of(f"new_{kind}")}|scaffolding', text.replace(str(folder), ''))
