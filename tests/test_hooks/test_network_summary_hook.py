from torch import nn

from vrtspike.hooks.network_summary_hook import backend_choices, network_summary
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
    assert 'scaled_dot_product_attention (bfloat16, 64 tokens): cuDNN kernel' in backend_choices(nn.ReLU())
