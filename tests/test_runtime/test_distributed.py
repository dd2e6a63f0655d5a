import pytest
import torch
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.runtime import distributed
from vrtspike.runtime.distributed import (
    any_rank,
    broadcast,
    check_variables,
    from_main_process,
    process_group,
    set_variables_from_slurm,
    unwrap_model,
)


def test_slurm_names_become_those_of_torch():
    environment = {'SLURM_PROCID': '3', 'SLURM_NTASKS': '8', 'SLURM_LOCALID': '1', 'MASTER_ADDR': 'node0'}
    set_variables_from_slurm(environment)
    assert environment.items() >= {'RANK': '3', 'WORLD_SIZE': '8', 'LOCAL_RANK': '1', 'MASTER_PORT': '29500'}.items()


def test_a_launcher_without_its_environment_is_one_error(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ConfigError, match=r'--launcher pytorch found no RANK.*tools/dist_train\.sh'),
        process_group('pytorch'),
    ):
        pass


@pytest.mark.parametrize(
    ('variable', 'message'),
    [
        ('WORLD_SIZE', 'torchrun started 2 processes .*Add --launcher pytorch'),
        ('SLURM_STEP_NUM_TASKS', 'srun started 2 processes .*Add --launcher slurm'),
    ],
)
def test_several_processes_without_a_launcher_are_refused(monkeypatch, variable, message):
    monkeypatch.setenv(variable, '2')
    with pytest.raises(ConfigError, match=message), process_group('none'):
        pass
    monkeypatch.setenv(variable, '1')
    with process_group('none'):
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch):
    environment = dict.fromkeys(('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'), '0') | {'LOCAL_WORLD_SIZE': '4'}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(ConfigError, match=r'4 processes on a machine with 2 GPUs.*--nproc-per-node 2'):
        check_variables('pytorch', environment)
    check_variables('pytorch', environment | {'LOCAL_WORLD_SIZE': '2'})


def test_an_error_of_the_main_process_is_that_of_all(monkeypatch):
    def refuse():
        raise ConfigError('refused')

    assert from_main_process(lambda: 5) == 5
    with pytest.raises(ConfigError, match='refused'):
        from_main_process(refuse)
    # Another process calls nothing and gets what the main process sends.
    monkeypatch.setattr(distributed, 'is_main_process', lambda: False)
    monkeypatch.setattr(distributed, 'broadcast', lambda value: (None, ConfigError('from the main process')))
    with pytest.raises(ConfigError, match='from the main process'):
        from_main_process(refuse)


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, MMEngine joins the processes')
def test_srun_without_a_gpu_joins_over_gloo_and_leaves(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, 'x')  # so that they are as before after the test
    for name, value in {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_LOCALID': '0'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', '0')
    with process_group('slurm', {'timeout': 60}):
        assert torch.distributed.get_backend() == 'gloo'
        assert torch.distributed.get_world_size() == 1
        with process_group('pytorch'):  # joined already: neither joins again nor leaves
            pass
        assert torch.distributed.is_initialized()
    assert not torch.distributed.is_initialized()


def test_one_process_agrees_with_itself():
    assert broadcast({'a': 1}) == {'a': 1}
    assert any_rank(True)
    assert not any_rank(False)


def test_any_rank_asks_the_others(monkeypatch):
    monkeypatch.setattr(distributed, 'get_world_size', lambda: 2)
    monkeypatch.setattr(distributed, 'all_reduce', lambda total, how: total.fill_(1))
    assert any_rank(False)


def test_a_network_is_found_inside_its_wrapper(monkeypatch):
    network = nn.Linear(1, 1)
    wrapper = nn.Module()
    wrapper.module = network
    monkeypatch.setattr(distributed, 'is_model_wrapper', lambda model: model is wrapper)
    assert unwrap_model(wrapper) is network
    assert unwrap_model(network) is network
