import logging
from types import SimpleNamespace

from torch import nn

from vrtspike.hooks.network_summary_hook import NetworkSummaryHook, backend_choices, network_summary
from vrtspike.models.layers.memory_fit import Case, Choice, MemoryFit
from vrtspike.ops import fused_attention


class Described(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(1000, 2)
        self.body.bias.requires_grad_(False)

    def summary_rows(self):
        return [
            {'part': 'stage1', 'blocks': 8, 'window': '6x8x8', 'parameters': 1234},
            {'part': 'tail', 'channels': 120, 'parameters': 768},
        ]


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_shows_what_the_model_says_of_itself():
    lines = cells(network_summary(Described()))
    assert ['part', 'blocks', 'window', 'channels', 'parameters'] in lines
    assert ['stage1', '8', '6x8x8', '-', '1,234'] in lines
    assert ['tail', '-', '-', '120', '768'] in lines
    assert ['2,002', 'parameters,', '2,000', 'of', 'them', 'trainable'] in lines


def test_other_models_are_summed_up_by_child(make_runner, log_of):
    runner = make_runner(1, hooks=[{'type': 'NetworkSummaryHook'}])
    runner.train()
    log = log_of(runner)
    assert ['backbone', '31'] in cells(log)
    assert ['head', '12'] in cells(log)
    assert '43 parameters, 43 of them trainable' in log
    assert log.index('TinyRestorer as built') < log.index('Iter(train)')


def test_children_without_parameters_are_left_out():
    text = network_summary(nn.Sequential(nn.ReLU(), nn.Linear(1, 1)))
    assert ['1', '2'] in cells(text)
    assert not any(line[:1] == ['0'] for line in cells(text))


def test_kernels_of_attention_are_among_the_choices(monkeypatch):
    monkeypatch.setitem(fused_attention.kernels, 'bfloat16, 64 tokens', 'cuDNN kernel')
    assert 'scaled_dot_product_attention (bfloat16, 64 tokens): cuDNN kernel' in backend_choices()


def test_every_choice_of_what_is_recomputed_is_logged_once(caplog):
    model, hook = nn.Sequential(nn.Linear(1, 1)), NetworkSummaryHook()
    model[0].memory_fit = MemoryFit(2.0)
    runner = SimpleNamespace(model=model, logger=logging.getLogger('checkpointing'))
    lines = []
    with caplog.at_level('INFO', 'checkpointing'):
        hook.before_run(runner)
        for height in (8, 8, 16):
            caplog.clear()
            model[0].memory_fit.choices[Case((1, 2, height, 8), False, 2)] = Choice((True, False), 1.5, 2.0, 3.0, 'ms')
            hook.after_train_iter(runner)
            lines.append([line for line in caplog.messages if line.startswith('checkpointing')])
    choice = '1 of 2 branches are recomputed; they save 1.5 MiB of the 2.0 MiB allowed; about 3 ms more per iteration'
    assert lines[0] == [f'checkpointing of clips 1 x 2 x 8 x 8: {choice}']
    assert lines[1] == []
    assert lines[2] == [f'checkpointing of clips 1 x 2 x 16 x 8: {choice}']
