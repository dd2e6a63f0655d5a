import pickle
import resource
import shutil
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, save_checkpoint
from mmengine.runner.checkpoint import load_checkpoint as mmengine_load_checkpoint
from torch import nn

from vrtspike.errors import CheckpointError
from vrtspike.runtime.checkpoint_files import (
    ATOMIC_BACKEND,
    load_checkpoint_file,
    unwrap_state_dict,
    use_safe_checkpoints,
)
from vrtspike.runtime.device import MIB


class RunsWhenLoaded:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        import os

        return os.mkdir, (self.folder,)


class OwnClass:
    """Harmless, but nobody can know that from the file."""


class ReachesBeyond:
    """Asks the getattr that a log history is pickled with for something else."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.fixture
def mmengine_loaders(monkeypatch):
    """Put MMEngine's own loaders back after the test."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())


def test_weights_and_plain_values_load(tmp_path):
    saved = {'state_dict': OrderedDict(w=torch.ones(2)), 'meta': {'iter': 3, 'name': 'x', 'rates': [0.1, None, True]}}
    torch.save(saved, tmp_path / 'a.pth')
    loaded = load_checkpoint_file(tmp_path / 'a.pth')
    assert torch.equal(loaded['state_dict']['w'], torch.ones(2))
    assert loaded['meta'] == saved['meta']


def test_what_mmengine_saves_beside_weights_loads(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    numbers = {
        'f': np.float64(0.5),
        'i': np.int64(3),
        'b': np.bool_(True),
        'h': np.float32(2),
        'a': np.arange(4.0),
        's': np.str_('t'),
    }
    torch.save(dict(history=history, dtype=np.dtype('float16'), **numbers), tmp_path / 'a.pth')
    loaded = load_checkpoint_file(tmp_path / 'a.pth')
    assert loaded['history'].statistics('mean') == 1.5
    assert loaded['dtype'] == np.float16
    for key, value in numbers.items():
        np.testing.assert_array_equal(loaded[key], value)


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_does_not_run(tmp_path, zipped):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save({'state_dict': RunsWhenLoaded(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'evil.pth needs (posix|nt)\.mkdir.*--trust-checkpoint'):
        load_checkpoint_file(path)
    assert not trace.exists()
    load_checkpoint_file(path, trust=True)
    assert trace.exists()


def test_a_plain_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    path.write_bytes(pickle.dumps(RunsWhenLoaded(trace), protocol=2))
    with pytest.raises(CheckpointError):
        load_checkpoint_file(path)
    assert not trace.exists()


def test_unknown_classes_are_named(tmp_path):
    torch.save({'extra': OwnClass()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'needs \S*OwnClass, which is code'):
        load_checkpoint_file(tmp_path / 'a.pth')
    assert isinstance(load_checkpoint_file(tmp_path / 'a.pth', trust=True)['extra'], OwnClass)


def test_trusted_code_that_is_not_installed_is_named(tmp_path, monkeypatch):
    torch.save({'extra': OwnClass()}, tmp_path / 'a.pth')
    monkeypatch.delitem(globals(), 'OwnClass')
    with pytest.raises(CheckpointError, match=r'not installed here.*OwnClass'):
        load_checkpoint_file(tmp_path / 'a.pth', trust=True)


def test_getattr_gives_a_history_its_statistics_and_nothing_else(tmp_path):
    torch.save({'extra': ReachesBeyond()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'needs builtins\.getattr'):
        load_checkpoint_file(tmp_path / 'a.pth')


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / 'none.pth', tmp_path):
        with pytest.raises(CheckpointError, match=f'{path} does not exist or is not a file'):
            load_checkpoint_file(path)


@pytest.mark.parametrize('kept', [0, 10, 0.5, 0.99])
@pytest.mark.parametrize('trust', [False, True])
def test_a_cut_off_file_is_called_damaged(tmp_path, kept, trust):
    path = tmp_path / 'a.pth'
    torch.save({'w': torch.rand(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(CheckpointError, match=r'a\.pth \(\d+ bytes\) is cut off, damaged or not a PyTorch checkpoint'):
        load_checkpoint_file(path, trust)


def test_a_text_file_is_called_no_checkpoint(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_text('version https://git-lfs.github.com/spec/v1\n')
    with pytest.raises(CheckpointError, match='not a PyTorch checkpoint'):
        load_checkpoint_file(path)


def test_a_bare_tensor_is_refused(tmp_path):
    torch.save(torch.ones(1), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='contains a Tensor, expected a dict'):
        load_checkpoint_file(tmp_path / 'a.pth')


def test_mmengine_loads_safely_once_told_to(tmp_path, mmengine_loaders):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save({'state_dict': nn.Linear(1, 1).state_dict(), 'extra': RunsWhenLoaded(trace)}, path)
    use_safe_checkpoints()
    with pytest.raises(CheckpointError, match='--trust-checkpoint'):
        mmengine_load_checkpoint(nn.Linear(1, 1), str(path))
    assert not trace.exists()
    use_safe_checkpoints(trust=True)
    mmengine_load_checkpoint(nn.Linear(1, 1), str(path))
    assert trace.exists()


@pytest.mark.parametrize('address', ['https://example.org/a.pth', 'open-mmlab://vrt', 'torchvision://resnet18'])
def test_nothing_is_downloaded(address, mmengine_loaders):
    use_safe_checkpoints()
    with pytest.raises(CheckpointError, match='not a local file; download it'):
        CheckpointLoader.load_checkpoint(address)


def zipped(path, change, compression=zipfile.ZIP_STORED):
    """Write the checkpoint again with its records changed by ``change(name, content)``."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in records.items():
            archive.writestr(name, change(name, content))
    return path


@pytest.fixture
def four_weights(tmp_path):
    torch.save({'w': torch.arange(4.0)}, tmp_path / 'a.pth')
    return tmp_path / 'a.pth'


def test_compressed_records_are_refused_unread(four_weights):
    """100 MiB of zeros in 100 KiB."""
    zipped(four_weights, lambda name, content: bytes(100 * MIB) if 'data/0' in name else content, zipfile.ZIP_DEFLATED)
    assert four_weights.stat().st_size < MIB
    with pytest.raises(CheckpointError, match='its records are compressed'):
        load_checkpoint_file(four_weights)


def test_records_longer_than_the_file_are_refused(four_weights):
    content = bytearray(four_weights.read_bytes())
    for signature, place in ((b'PK\1\2', 24), (b'PK\3\4', 22)):  # the directory's and the record's own header
        at = content.find(signature)
        content[at + place : at + place + 4] = (2**31).to_bytes(4, 'little')
    four_weights.write_bytes(content)
    with pytest.raises(CheckpointError, match='its records state 2147'):
        load_checkpoint_file(four_weights)


@pytest.mark.parametrize('zip_format', [True, False])
def test_more_numbers_than_the_file_has_are_refused(tmp_path, zip_format):
    """The pickle's numbers of elements of the storage and of the tensor, 4 each, become 2 billion."""
    path = tmp_path / 'a.pth'
    torch.save({'w': torch.arange(4.0)}, path, _use_new_zipfile_serialization=zip_format)

    def claim(name, content):
        if name.endswith('data.pkl'):
            assert content.count(b'K\4') == 2
            content = content.replace(b'K\4', b'J' + (2_000_000_000).to_bytes(4, 'little'))
        return content

    if zip_format:
        zipped(path, claim)
    else:
        path.write_bytes(path.read_bytes().replace(b'K\4', b'J' + (2_000_000_000).to_bytes(4, 'little')))
    with pytest.raises(CheckpointError, match='cut off, damaged or not a PyTorch checkpoint'):
        load_checkpoint_file(path)


def test_a_view_that_repeats_a_few_bytes_is_refused(tmp_path):
    torch.save({'w': torch.ones(1).expand(10**12)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'it states a tensor of the shape \(1000000000000,\)'):
        load_checkpoint_file(tmp_path / 'a.pth')
    torch.save({'w': torch.ones(1).expand(64)}, tmp_path / 'b.pth')
    assert load_checkpoint_file(tmp_path / 'b.pth')['w'].sum() == 64


class Calls:
    """Pickled as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        function, *arguments = self.call
        return function, tuple(arguments)


@pytest.mark.parametrize('zip_format', [True, False])
@pytest.mark.parametrize(
    'value',
    [
        Calls(bytearray, 10**12),
        Calls(np.zeros(1).__reduce__()[0], np.ndarray, (10**12,), b'b'),
        Calls(np.ndarray, 10**12),
        Calls(np.dtype, 'O'),
        Calls(np.dtype, [('a', 'f8')]),
        Calls(np.float64(0).__reduce__()[0], np.dtype('S1000000000')),
    ],
)
def test_calls_that_fill_the_memory_are_refused(tmp_path, value, zip_format):
    torch.save({'w': value}, tmp_path / 'a.pth', _use_new_zipfile_serialization=zip_format)
    with pytest.raises(CheckpointError):
        load_checkpoint_file(tmp_path / 'a.pth')


@pytest.mark.parametrize('make', [torch.Tensor.to_sparse, lambda tensor: tensor.to('meta')])
def test_weights_without_values_are_refused(make):
    with pytest.raises(CheckpointError, match='b is sparse or has no values'):
        unwrap_state_dict({'params': {'a': torch.ones(3), 'b': make(torch.ones(3))}})


def test_a_checkpoint_that_contains_itself_holds_no_weights():
    checkpoint = {'meta': {}}
    checkpoint |= dict.fromkeys(('params', 'state_dict', 'model', 'ema', 'net'), checkpoint)
    with pytest.raises(CheckpointError, match='contains no weights'):
        unwrap_state_dict(checkpoint)


def test_damaged_checkpoints(tmp_path, fuzz_reader):
    """Whole files of both formats, and the pickle of a zip archive whose checksum is right again."""
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    meta = {'iter': 3, 'cfg': "model = dict(type='VRT')", 'rate': np.float64(0.5), 'history': history}
    checkpoint = {'state_dict': OrderedDict({'a.weight': torch.ones(2, 3), 'b': torch.arange(2)}), 'meta': meta}
    for name, zip_format in (('new.pth', True), ('old.pth', False)):
        torch.save(checkpoint, tmp_path / name, _use_new_zipfile_serialization=zip_format)
    with zipfile.ZipFile(tmp_path / 'new.pth') as archive:
        (tmp_path / 'new.pkl').write_bytes(archive.read('new/data.pkl'))

    def read(path):
        if path.suffix == '.pkl':
            shutil.copy(tmp_path / 'new.pth', f'{path}.pth')
            path = zipped(f'{path}.pth', lambda name, content: path.read_bytes() if 'data.pkl' in name else content)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # torch's, about pickle protocols
            unwrap_state_dict(load_checkpoint_file(path), f'checkpoint {path}')

    fuzz_reader(read)


WEIGHTS = {'a.weight': torch.ones(1), 'b.bias': torch.zeros(2)}


def named(prefix):
    return {prefix + name: tensor for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    'checkpoint',
    [
        WEIGHTS,
        {'params': WEIGHTS},
        {'params': {'old': torch.ones(3)}, 'params_ema': WEIGHTS},
        {'state_dict': WEIGHTS, 'meta': {'iter': 1}, 'optimizer': {}},
        {'params': named('module.')},
        {'state_dict': named('_orig_mod.')},
        {'state_dict': named('module._orig_mod.')},
        {'state_dict': named('_orig_mod.module.module.')},
        named('_fsdp_wrapped_module.'),
        {'a.weight': WEIGHTS['a.weight'], 'b._orig_mod.bias': WEIGHTS['b.bias']},
        {'netG': WEIGHTS},
        {'model_state_dict': WEIGHTS, 'epoch': 3, 'loss': torch.ones(1)},
        {'model': {'state_dict': {'params': named('module.')}}, 'optimizer': {'state': {0: {'step': torch.ones(1)}}}},
        {'model': {'old': torch.ones(3)}, 'ema': {'state_dict': {**named('module.'), 'n_averaged': torch.tensor(9)}}},
        {'ema': {'decay': 0.99}, 'net_g': WEIGHTS, 'net_d': {'other': torch.ones(1)}},
    ],
)
def test_unwraps_weights(checkpoint):
    assert unwrap_state_dict(checkpoint) == WEIGHTS


@pytest.mark.parametrize(
    ('checkpoint', 'found'),
    [
        ({'meta': {}, 'iter': 3}, r'meta \(dict\), iter \(int\)'),
        ({}, 'an empty dict'),
        ({'params': [1]}, r'params \(list\)'),
        ({'optimizer': {'state': {0: {'step': torch.ones(1)}}}}, r'optimizer \(dict\)'),
    ],
)
def test_what_holds_no_weights_is_refused(checkpoint, found):
    with pytest.raises(CheckpointError, match=found):
        unwrap_state_dict(checkpoint)


@pytest.fixture
def full_disk():
    """Let no file grow beyond 1000 bytes: writes fail half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, full_disk):
    path = tmp_path / 'iter_1.pth'
    backend = get_file_backend(str(path), backend_args={'backend': ATOMIC_BACKEND})
    backend.put(b'old', str(path))
    with pytest.raises(CheckpointError, match=r'cannot write .*iter_1\.pth .*earlier checkpoints are untouched'):
        save_checkpoint({'w': torch.rand(1000)}, str(path), backend_args={'backend': ATOMIC_BACKEND})
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]
