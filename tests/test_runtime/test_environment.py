import shutil
import subprocess

import pytest
import torch

import vrtspike
from vrtspike.runtime import environment
from vrtspike.runtime.environment import commit, describe_environment


@pytest.fixture
def package_in_git(tmp_path, monkeypatch):
    """A repository with a package of ours in it, not yet committed."""
    if shutil.which('git') is None:
        pytest.skip('git is not installed')
    (tmp_path / 'vrtspike').mkdir()
    package = tmp_path / 'vrtspike' / '__init__.py'
    package.write_text('')

    def git(*arguments):
        identity = ('-c', 'user.name=t', '-c', 'user.email=t@example.org')
        subprocess.run(['git', *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git('init')
    git('commit', '--allow-empty', '-m', 'first')
    monkeypatch.setattr(vrtspike, '__file__', str(package))
    return package, git


def test_describes_versions_and_device():
    found = describe_environment('cpu')
    assert found['versions']['vrtspike'] == vrtspike.__version__
    assert found['versions']['torch'] == torch.__version__
    assert found['device']['type'] == 'cpu'
    assert found['device']['threads'] == torch.get_num_threads()
    assert found['device']['name']


def test_a_package_in_somebody_elses_repository_has_no_commit(package_in_git):
    assert commit() is None


def test_commit_tells_clean_from_dirty(package_in_git):
    package, git = package_in_git
    git('add', '.')
    git('commit', '-m', 'second')
    clean = commit()
    assert len(clean) == 40
    package.write_text('changed = True\n')
    assert commit() == f'{clean}-dirty'


def test_without_git_there_is_no_commit(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError('git')

    monkeypatch.setattr(environment.subprocess, 'run', missing)
    assert commit() is None
