"""The documentation as a site, where MkDocs is installed, and the facts that its pages name."""

import importlib.util
import inspect
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from foreign_networks import Classifier, Images, ResNet
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vrtspike.config import read_config
from vrtspike.models import VRT
from vrtspike.records.stage_costs import Rates

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'docs/site/mkdocs.yml'
MISSING = [name for name in ('mkdocs', 'material', 'mkdocstrings') if importlib.util.find_spec(name) is None]
with_mkdocs = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install -e '.[docs]'")
# Two pages of docs/ and one outside; the anchor and the page outside are what can be wrong.
PAGE = 'See [the plugin](../plugins/README.md#use).\n\n# First\n'
OUTSIDE = '# Plugins\n\n## Use\n\nBack to [the page](../docs/index.md#first), and [the file](code.py).\n'
SMALL = """
site_name: small
docs_dir: ..
site_dir: ../../site
strict: true
exclude_docs: /site/
not_in_nav: /checkout/
use_directory_urls: false
hooks: [links.py]
validation:
  links: {not_found: warn, anchors: warn}
"""


def build(config, folder):
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-f', str(config), '-d', str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@with_mkdocs
def test_the_site_builds_without_a_warning(tmp_path):
    done = build(CONFIG, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(ROOT / 'docs').with_suffix('.html').as_posix() for path in ROOT.glob('docs/*.md')}
    assert pages <= {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.html')}
    api = (tmp_path / 'api.html').read_text(encoding='utf-8')
    for name in ('vrtspike.ops.window_attention.window_attention', 'vrtspike.models.restorer.SpikeRestorer'):
        assert f'id="{name}"' in api
    numbers = (tmp_path / 'vrt.html').read_text(encoding='utf-8')
    assert re.search(r'<p>[^\n]* needs [\d.]+ GMAC', numbers)
    assert '&lt;!--' not in numbers  # the line that names the template does not show
    text = (tmp_path / 'concepts.html').read_text(encoding='utf-8')
    assert 'href="checkout/plugins/index.html"' in text  # MkDocs calls a README so
    assert 'src="images/dataflow.svg"' in text
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', text)  # nothing comes from elsewhere
    assert broken_links(tmp_path) == []


def broken_links(site):
    """Return page and target of every link and picture that leads to no file of the site."""
    found = []
    for page in site.rglob('*.html'):
        if page.name == '404.html':  # its links are those of a server
            continue
        for target in re.findall(r'(?:href|src)="([^"#?:]+)[^":]*"', page.read_text(encoding='utf-8')):
            path = page.parent / unquote(target)
            if not (path.is_file() or (path / 'index.html').is_file()):
                found.append((page.relative_to(site).as_posix(), target))
    return found


@pytest.fixture
def checkout(tmp_path):
    """A checkout of three pages with the hook of ours."""
    for name, content in {'docs/index.md': PAGE, 'plugins/README.md': OUTSIDE, 'plugins/code.py': 'x = 1\n'}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding='utf-8')
    (tmp_path / 'docs/site').mkdir()
    (tmp_path / 'docs/site/mkdocs.yml').write_text(SMALL, encoding='utf-8')
    shutil.copy(ROOT / 'docs/site/links.py', tmp_path / 'docs/site')
    return tmp_path


@with_mkdocs
def test_pages_outside_come_along_with_what_they_link_to(checkout):
    done = build(checkout / 'docs/site/mkdocs.yml', checkout / 'site')
    assert done.returncode == 0, done.stderr
    assert 'href="checkout/plugins/index.html#use"' in (checkout / 'site/index.html').read_text()
    page = (checkout / 'site/checkout/plugins/index.html').read_text()
    assert 'href="../../index.html#first"' in page
    assert 'href="code.py"' in page
    assert (checkout / 'site/checkout/plugins/code.py').is_file()


@with_mkdocs
@pytest.mark.parametrize(
    ('wrong', 'named'),
    [('../plugins/none.md', 'none.md'), ('none.md', 'none.md'), ('../plugins/README.md#none', '#none')],
)
def test_a_link_that_leads_nowhere_ends_the_build_and_is_named(checkout, wrong, named):
    (checkout / 'docs/index.md').write_text(f'[x]({wrong})\n', encoding='utf-8')
    done = build(checkout / 'docs/site/mkdocs.yml', checkout / 'site')
    assert done.returncode != 0
    assert named in done.stderr


def test_chinese_pages_and_their_english_ones_link_to_each_other():
    for name in ('index', 'commands', 'troubleshooting', 'migration'):
        assert f'({name}.zh-CN.md)' in (ROOT / f'docs/{name}.md').read_text(encoding='utf-8')
        assert f'({name}.md)' in (ROOT / f'docs/{name}.zh-CN.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('page', ['commands.md', 'commands.zh-CN.md'])
def test_every_tool_is_listed_with_options_that_it_has(page):
    text = (ROOT / 'docs' / page).read_text(encoding='utf-8')
    rows = re.findall(r'^\| `(?:python )?tools/([\w.]+).* \|([^|]*)\|$', text, re.MULTILINE)
    tools = {path.name for path in (ROOT / 'tools').iterdir() if path.suffix in ('.py', '.sh')}
    assert {name for name, _ in rows} == tools
    shared = (ROOT / 'vrtspike/cli.py').read_text(encoding='utf-8')
    for name, options in rows:
        source = (ROOT / 'tools' / name).read_text(encoding='utf-8') + shared
        assert [option for option in re.findall(r'`(--[\w-]+)', options) if f"'{option}'" not in source] == []


def test_concepts_list_every_package_in_the_order_of_imports():
    rows = re.findall(r'^\| `(\w+)` \|', (ROOT / 'docs/concepts.md').read_text(encoding='utf-8'), re.MULTILINE)
    drawn = re.findall(r'>([a-z]+)</text>', (ROOT / 'docs/images/rooms.svg').read_text(encoding='utf-8'))
    order = runpy.run_path(str(ROOT / 'tests/test_rooms.py'))['ROOMS']
    assert rows == drawn == [*reversed(order)]


def test_migration_from_kair_names_keys_that_exist():
    text = (ROOT / 'docs/migration.md').read_text(encoding='utf-8')
    section = text[text.index('## KAIR') : text.index('## S-VRT')]
    rows = [line.split(' | ')[1] for line in section.splitlines() if line.startswith('| ')][2:]
    roots = (
        'model',
        'train_dataloader',
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
        'default_hooks',
        'randomness',
    )
    keys = {key for row in rows for key in re.findall(r'`([\w.]+)`', row) if key.split('.')[0] in roots}
    assert len(keys) > 25
    names = ('vrt_spike_baseline', 'recipes/freeze_flow', 'recipes/ema')
    configs = [read_config(ROOT / f'configs/{name}.py') for name in names]
    unknown = {key for key in keys if not any(reached(config, key) for config in configs)}
    arguments = {f'model.backbone.{name}' for name in inspect.signature(VRT).parameters}
    assert unknown - arguments == {'model.tiling'}  # an argument of the restorer, checked in tests of its own


def reached(node, key):
    for name in key.split('.'):
        try:
            node = node[int(name)] if name.isdigit() else node[name]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def test_the_code_for_networks_of_your_own_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / 'docs/your_network.md').read_text(encoding='utf-8')
    loop, marked, config = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    model = ResNet()
    loader = torch.utils.data.DataLoader(Images(), batch_size=4)
    names = dict(model=model, loader=loader, cross_entropy=torch.nn.functional.cross_entropy)
    names |= dict(optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
    monkeypatch.setattr('vrtspike.benchmarking.stage_profiler.device_rates', lambda device, dtype: Rates(100.0, 10.0))
    exec(loop, names)
    printed = capsys.readouterr().out
    assert printed.startswith('Medians of 1 iterations of 4 clips, float32 on ')
    assert re.search('stem .* body .* head .* other ', printed, re.DOTALL)

    images, labels = next(iter(loader))
    exec(marked, names | dict(images=images, labels=labels))

    hooks = {}
    exec(config, hooks)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())  # of other tests
    runner = Runner(
        model=Classifier(model),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=4, dataset=Images(), sampler=dict(type='DefaultSampler'), collate_fn=dict(type='default_collate')
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=hooks['custom_hooks'],
    )
    monkeypatch.setattr('vrtspike.hooks.stage_cost_hook.device_rates', lambda device, dtype: Rates(100.0, 10.0))
    runner.train()
    run, sample = (json.loads(line) for line in (tmp_path / 'stage_costs.jsonl').read_text().splitlines())
    assert set(sample['stages']) == {'data', 'stem', 'body', 'head', 'optimizer', 'other'}
    assert run['costs']['head']['parameters'] == 650
