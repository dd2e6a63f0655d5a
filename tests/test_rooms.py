"""The rooms of the package: which may import which, and that every module has its tests."""

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrtspike

PACKAGE = Path(vrtspike.__file__).parent
# Each room imports only those before it.
ROOMS = [
    'errors',
    'runtime',
    'contracts',
    'registry',
    'native',
    'plugins',
    'records',
    'profiling',
    'ops',
    'datasets',
    'metrics',
    'models',
    'config',
    'candidates',
    'analysis',
    'reporting',
    'optim',
    'benchmarking',
    'hooks',
    'engine',
    'inference',
    'experiments',
    'tuner',
    'testing',
    'scaffolding',
    'export',
    'cli',
]
# What other rooms may import of a later one, because it depends on nothing itself.
SHARED = {'vrtspike.reporting.table'}
# These promise to work without torch: logs are read on machines that have none.
WITHOUT_TORCH = ('records', 'candidates', 'analysis', 'reporting')
# Shown at the end of a training, of a test and of a check of data, which have torch loaded.
NEEDS_TORCH = {f'vrtspike.reporting.{name}' for name in ('contact_sheets', 'cost_tables', 'evaluation_page')}
MODULES = sorted(PACKAGE.rglob('*.py'))
TESTS = Path(__file__).parent
TEMPLATES = PACKAGE / 'scaffolding/templates'  # sources of plugins, with tests of their own
# Modules without a mirrored test file: where they are tested, and why there.
TESTED_BY = {
    # Readers and statistics of logs: golden analyses of whole logs.
    'analysis/caveats.py': 'test_analysis/test_report.py',
    'analysis/facts.py': 'test_analysis/test_advice.py',
    'analysis/readers/line_reader.py': 'test_analysis/test_readers/test_legacy.py',
    'analysis/readers/legacy_*.py': 'test_analysis/test_readers/test_legacy.py',
    'analysis/readers/text.py': 'test_analysis/test_readers/test_legacy.py',
    'analysis/readers/reading.py': 'test_analysis/test_readers/test_files.py',
    'analysis/statistics/peak_memory.py': 'test_analysis/test_report.py',
    'analysis/statistics/roofline.py': 'test_analysis/test_report.py',
    # The comparison of one command.
    'benchmarking/config_comparison.py': 'test_tools/test_benchmark.py',
    # It starts a process that measures itself, which the benchmark does too.
    'benchmarking/peak_memory.py': 'test_benchmarks/test_guide_memory.py',
    # Each module adds entries to the catalogue, and every entry is checked alike.
    'candidates/*.py': 'test_candidates/test_catalogue.py',
    # Conversions of whole configs go through all of them.
    'config/conversion/*.py': 'test_config/test_legacy.py',
    'config/kair/*.py': 'test_config/test_kair.py',
    'config/legacy/*.py': 'test_config/test_legacy.py',
    # Types and keys are what validation reads from a schema.
    'config/schema.py': 'test_config/test_validation.py',
    # Tested with the training that it changes.
    'hooks/progressive_crops_hook.py': 'test_engine/test_progressive_crops.py',
    # A whole test of a checkpoint, by the command.
    'inference/evaluation.py': 'test_tools/test_test.py',
    # Sweeps over the registries, with the values of each part.
    'models/fusion/*.py': 'test_models/test_fusion/test_fusion_heads.py',
    'models/spike_encoders/*.py': 'test_models/test_spike_encoders/test_spike_encoders.py',
    'models/tsa/*.py': 'test_models/test_tsa/test_tsa_variants.py',
    'models/losses/charbonnier.py': 'test_models/test_losses/test_losses.py',
    # The parts of VRT are compared with golden outputs of the published code.
    'models/backbones/vrt_stage.py': 'test_models/test_backbones/test_vrt_golden.py',
    'models/layers/blocks.py': 'test_models/test_backbones/test_vrt_golden.py',
    'models/layers/flow.py': 'test_models/test_backbones/test_vrt_golden.py',
    # Arguments that cannot work, given to whole parts.
    'models/layers/checks.py': 'test_models/test_backbones/test_vrt_checks.py',
    # The layer of the operator.
    'models/layers/linear.py': 'test_ops/test_linear.py',
    # Options of VRT that change its speed and nothing else.
    'models/layers/torch_compile.py': 'test_models/test_backbones/test_vrt_speed.py',
    'models/layers/chunking/part.py': 'test_models/test_layers/test_chunking/test_split.py',
    # Counts of multiply-accumulates are pinned for whole networks.
    'ops/counting.py': 'test_profiling/test_flops.py',
    # Every backend is compared with the reference of its operator.
    'ops/add_scattered/*.py': 'test_ops/test_add_scattered.py',
    'ops/deform_conv/*.py': 'test_ops/test_deform_conv/test_deform_conv.py',
    'ops/flow_offsets/*.py': 'test_ops/test_flow_offsets.py',
    'ops/gated_linear/*.py': 'test_ops/test_gated_linear.py',
    'ops/linear/*.py': 'test_ops/test_linear.py',
    'ops/layer_norm/*.py': 'test_ops/test_layer_norm.py',
    'ops/row_operator.py': 'test_ops/test_layer_norm.py',
    'ops/window_attention/*.py': 'test_ops/test_window_attention/test_window_attention.py',
    # Read by the loss and the metric that are networks trained on ImageNet.
    'runtime/imagenet.py': 'test_models/test_losses/test_perceptual.py',
    # Structs; their reader and their writer are tested.
    'records/stage_costs.py': 'test_records/test_reader.py',
    # Texts of one command.
    'reporting/analysis_tables.py': 'test_tools/test_analyze_logs.py',
    'reporting/report_*.py': 'test_tools/test_analyze_logs.py',
    'scaffolding/writing.py': 'test_scaffolding/test_templates.py',
    # Helpers of tests: the tests that use them would fail.
    'testing/data_sets.py': 'test_datasets/test_sources/test_detection.py',
    'testing/parts.py': 'test_testing/test_sweep.py',
    'testing/training.py': 'test_engine/test_training.py',
    # The search is tested on planted bottlenecks, its report on one made-up search.
    'tuner/choosing.py': 'test_tuner/test_planted.py',
    'tuner/run.py': 'test_tuner/test_planted.py',
    'tuner/trials.py': 'test_tuner/test_search.py',
    'tuner/record.py': 'test_tuner/test_report.py',
}


def name_of(path: Path) -> str:
    return '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts).removesuffix('.__init__')


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything of ours that a module imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.startswith('vrtspike.'))


def room_of(name: str) -> str:
    return name.split('.')[1]


def test_every_room_has_its_place():
    rooms = {room_of(name) for name in map(name_of, MODULES) if name != 'vrtspike'}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_rooms_before_it(room):
    upwards = [
        f'{path.relative_to(PACKAGE)}:{line} imports {name}'
        for path in MODULES
        if name_of(path) != 'vrtspike' and room_of(name_of(path)) == room
        for line, name in imports_of(path)
        if ROOMS.index(room_of(name)) > ROOMS.index(room) and not name.startswith(tuple(SHARED))
    ]
    assert not upwards, '\n'.join(upwards)


def mirror_of(path: Path) -> Path:
    return TESTS.joinpath(*(f'test_{part}' for part in path.relative_to(PACKAGE).parts))


UNMIRRORED = [
    path.relative_to(PACKAGE).as_posix()
    for path in MODULES
    if path.name != '__init__.py' and TEMPLATES not in path.parents and not mirror_of(path).exists()
]


def test_every_module_has_a_test_file_or_is_tested_by_another():
    untested = [name for name in UNMIRRORED if not any(fnmatch.fnmatch(name, pattern) for pattern in TESTED_BY)]
    assert not untested, f'write tests/{mirror_of(PACKAGE / untested[0]).relative_to(TESTS)}, or extend TESTED_BY'


@pytest.mark.parametrize(('pattern', 'test'), TESTED_BY.items())
def test_what_is_tested_by_another_file_has_none_of_its_own(pattern, test):
    assert (TESTS / test).is_file()
    assert fnmatch.filter(UNMIRRORED, pattern), f'{pattern} names no module without a mirrored test file'
    if '*' not in pattern:
        assert not mirror_of(PACKAGE / pattern).exists()


@pytest.mark.parametrize('room', WITHOUT_TORCH)
def test_a_room_imports_without_torch(room):
    names = [name for name in map(name_of, MODULES) if name.split('.')[1:2] == [room] and name not in NEEDS_TORCH]
    assert names
    program = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    assert 'torch' not in sys.modules, name
"""
    process = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
