"""What a newcomer relies on: the README's commands and numbers, the declared dependencies, the wheel's contents."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import setuptools
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vrtspike
from vrtspike.config import load_config
from vrtspike.datasets import write_demo
from vrtspike.inference.restoring import check_clip
from vrtspike.records.model_card import SHIPPED_NETWORK, card_path
from vrtspike.registry import FUSION_HEADS, MODELS

ROOT = Path(__file__).resolve().parents[1]
READMES = ('README.md', 'README_zh-CN.md')
PLUGINS = ROOT / 'plugins'
DOCUMENTS = sorted(path for pattern in ('*.md', 'docs/*.md', 'plugins/*.md') for path in ROOT.glob(pattern))
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*.py'))
# Used where they are installed: backends, metrics, and what exports are checked with.
OPTIONAL = {'h5py', 'lmdb', 'lpips', 'onnxruntime', 'pyiqa', 'pypiqe', 'tensorboard', 'torchvision', 'triton'}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```$', text_of(name), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope='module')
def arguments() -> dict:
    """The keyword arguments that setup.py gives to setuptools."""
    caught = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', caught.update)
        exec(compile(text_of('setup.py'), ROOT / 'setup.py', 'exec'), {'__file__': str(ROOT / 'setup.py')})
    return caught


@pytest.fixture(scope='module')
def pins() -> dict[str, str]:
    """Version by distribution."""
    lines = [line for line in text_of('constraints.txt').splitlines() if line and not line.startswith('#')]
    return {canonicalize_name(name): version for name, version in (line.split('==') for line in lines)}


class TestReadme:
    def test_two_commands_that_pin_versions(self):
        install, test = (block.rstrip('\n') for block in blocks('README.md', 'bash'))
        assert install.endswith('python tools/train.py configs/vrt_spike_fast.py')
        assert test.endswith('python -m pytest')
        for command in (install, test):
            assert command.startswith('pip install -c constraints.txt -e ')
            assert '\n' not in command

    def test_both_languages_show_the_same_commands(self):
        english, chinese = (blocks(name, 'bash') + blocks(name, 'console') for name in READMES)
        assert english == chinese

    def test_both_languages_show_the_same_python_and_results(self):
        english, chinese = (blocks(name, 'python') for name in READMES)
        assert english == chinese
        rows = [re.findall(r'^\| `python.*', text_of(name), re.MULTILINE) for name in READMES]
        assert rows[0] == rows[1] != []

    @pytest.mark.parametrize('name', READMES)
    def test_is_read_in_a_minute_and_needs_no_regeneration(self, name):
        text = text_of(name)
        assert len(text.split()) < 1200
        assert '<!--=' not in text
        assert re.findall(r'<!-- (\w+):begin -->', text) == ['results']

    def test_python_example_reads_a_clip_that_fits_the_network(self, tmp_path, monkeypatch):
        write_demo(tmp_path / 'data/demo', train_clips=1, val_clips=2, progress=False)
        monkeypatch.chdir(tmp_path)
        restored = []
        monkeypatch.setattr(vrtspike, 'restore', lambda *clip: restored.append(clip), raising=False)
        (example,) = blocks('README.md', 'python')
        exec(example, {})
        frames, spikes = restored.pop()
        check_clip(frames, spikes)


class TestSnippets:
    """Code that documents show runs."""

    @pytest.mark.skipif(not PLUGINS.is_dir(), reason='the example is in the README of the plugins')
    def test_own_part_trains(self, tmp_path):
        page = 'plugins/README.md'
        plugin = tmp_path / 'head_of_the_readme.py'
        plugin.write_text(next(block for block in blocks(page, 'python') if 'FUSION_HEADS' in block), encoding='utf-8')
        options = {'model.fusion._delete_': True, 'model.fusion.type': 'GatedSum'}
        for key, value in options.items():
            assert f'{key}={value}' in text_of(page)
        try:
            config = load_config(ROOT / 'configs/vrt_spike_tiny.py', overrides=options, plugins=[str(plugin)])
            model = MODELS.build(config.model)
        finally:
            FUSION_HEADS.module_dict.pop('GatedSum', None)
        clip = torch.rand(1, 2, model.backbone.in_channels, 32, 32)
        model(clip, torch.rand(1, 2, 32, 16, 16), sharp=clip[:, :, :3].flip(-1), mode='loss')['loss'].backward()
        assert {type(head).__name__ for head in model.fusion.values()} == {'GatedSum'}
        assert all(head.gate.grad is not None for head in model.fusion.values())

    def test_snippets_that_read_data_name_what_exists(self, tmp_path):
        (tmp_path / 'config.yaml').write_text('{spike_h: 8, spike_w: 8, threshold: 1.0}', encoding='utf-8')
        namespace = {}
        exec(next(block for block in blocks('docs/config.md', 'python') if block.startswith('data =')), namespace)
        options = {f'data.{key}': value for key, value in namespace['data'].items()}
        config = load_config(ROOT / 'configs/vrt_spike_baseline.py', overrides=options)
        assert config.train_dataloader.dataset.source == namespace['data']

    def test_every_config_is_listed(self):
        rows = re.findall(r'^\| `(configs/\S+\.py)` \|', text_of('docs/config.md'), re.MULTILINE)
        assert sorted(rows) == CONFIGS


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    targets = re.findall(r'\]\(([^)#]+)\)', document.read_text(encoding='utf-8'))
    local = [document.parent / target for target in targets if '://' not in target]
    if not PLUGINS.is_dir():  # they may be deleted
        local = [path for path in local if not path.resolve().is_relative_to(PLUGINS)]
    assert [path for path in local if not path.exists()] == []


class TestDependencies:
    def test_every_one_is_pinned_to_a_version_that_is_allowed(self, arguments, pins):
        extras = arguments['extras_require']
        texts = arguments['install_requires'] + extras['test'] + extras['dev'] + extras['onnx'] + extras['docs']
        requirements = [Requirement(text) for text in texts]
        unfit = [
            str(requirement)
            for requirement in requirements
            if pins.get(canonicalize_name(requirement.name), '0') not in requirement.specifier
        ]
        assert unfit == []
        assert set(pins) == {canonicalize_name(requirement.name) for requirement in requirements}

    @pytest.mark.parametrize(
        ('folders', 'extra'), [(('vrtspike', 'tools', 'benchmarks'), None), (('tests', 'benchmarks'), 'test')]
    )
    def test_every_import_is_declared(self, arguments, folders, extra):
        texts = arguments['install_requires'] + (arguments['extras_require'][extra] if extra else [])
        declared = {canonicalize_name(Requirement(text).name) for text in texts} | {'vrtspike'}
        providers = packages_distributions()
        undeclared = {
            name
            for name in imported_from(folders) - OPTIONAL
            if not declared & {canonicalize_name(found) for found in providers.get(name, [])}
        }
        assert undeclared == set()


def imported_from(folders: tuple[str, ...]) -> set[str]:
    """Top-level names that the modules of ``folders`` import, the standard library and the folders' own left out."""
    # Templates of plugins come with tests, which import what tests import.
    files = [path for folder in folders for path in (ROOT / folder).rglob('*.py') if 'templates' not in path.parts]
    own = {path.stem for path in files} | {path.parent.name for path in files}
    names = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition('.')[0])
    return names - sys.stdlib_module_names - (own - {'vrtspike'})


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> Path:
    """The package as a wheel carries it."""
    folder = tmp_path_factory.mktemp('build')
    command = [sys.executable, 'setup.py', '--quiet', 'build_py', '--build-lib', str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder / 'vrtspike'


class TestWheel:
    @pytest.mark.parametrize('folder', [name for name in ('configs', 'tools', 'plugins') if (ROOT / name).is_dir()])
    def test_carries_what_training_needs(self, built, folder):
        expected = {path.relative_to(ROOT) for path in (ROOT / folder).rglob('*.*') if '__pycache__' not in path.parts}
        carried = {path.relative_to(built / '.mim') for path in (built / '.mim' / folder).rglob('*.*')}
        assert expected
        assert carried == expected

    def test_carries_every_module_and_weight(self, built):
        patterns = ('*.py', '*.pth', '*.json')
        expected = {
            path.relative_to(ROOT / 'vrtspike') for pattern in patterns for path in (ROOT / 'vrtspike').rglob(pattern)
        }
        carried = {path.relative_to(built) for pattern in patterns for path in built.rglob(pattern)}
        assert Path('models/pretrained/spynet_level.pth') in expected
        assert {path for path in carried if path.parts[0] != '.mim'} == expected

    @pytest.mark.parametrize('path', [SHIPPED_NETWORK, card_path(SHIPPED_NETWORK)], ids=lambda path: path.name)
    def test_carries_the_shipped_network_and_its_card(self, arguments, path):
        patterns = arguments['package_data']['vrtspike.models']
        assert any(path.relative_to('models').match(pattern) for pattern in patterns)

    def test_its_configs_inherit_from_each_other(self, built):
        config = load_config(built / '.mim/configs/vrt_spike_fast.py')
        assert config.pretty_text == load_config(ROOT / 'configs/vrt_spike_fast.py').pretty_text


class TestContinuousIntegration:
    SCRIPT = ROOT / '.ci/run'

    def call(self, function: str, stdin: str = '') -> subprocess.CompletedProcess:
        """Call one function of the script, which itself is not run."""
        definitions = self.SCRIPT.read_text(encoding='utf-8').replace('\nmain "$@"\n', '\n')
        command = ['bash', '-c', f'{definitions}\n{function}']
        return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60)

    def test_can_be_run(self):
        assert os.access(self.SCRIPT, os.X_OK)

    def test_executes_what_the_readme_shows(self):
        done = self.call('readme_commands README.md')
        assert done.stdout == ''.join(blocks('README.md', 'bash'))

    def test_prompt_training_passes(self):
        log = 'Successfully installed vrtspike-0.1.0\nIter(train) [ 1/12]\n'
        done = self.call('watch_training', log)
        assert done.returncode == 0
        assert done.stdout.startswith(log)

    @pytest.mark.parametrize(
        ('limits', 'log'),
        [
            ('first_iteration_limit=-1', 'Successfully installed vrtspike\nIter(train) [ 1/12]\n'),
            ('training_limit=-1', 'Successfully installed vrtspike\nIter(train) [ 1/12]\n'),
            ('', 'Successfully installed vrtspike\n'),
            ('', 'Iter(train) [ 1/12]\n'),
        ],
        ids=['late', 'long', 'no iteration', 'no installation'],
    )
    def test_slow_or_silent_training_fails(self, limits, log):
        assert self.call(f'{limits}\nwatch_training', log).returncode == 1

    def test_failing_step_ends_it(self):
        done = self.call('step one false\necho reached')
        assert done.returncode != 0
        assert 'reached' not in done.stdout
        assert self.call('step two install_and_train "false; true"').returncode != 0
