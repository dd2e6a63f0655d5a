import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.ops import DEFORM_CONV2D, OPERATORS, WINDOW_ATTENTION, Backend, Operator, use_backends


def identity(x):
    return x


@pytest.fixture
def operator():
    """An operator with a backend for each reason to refuse, and a last one that serves everything."""
    return Operator(
        'scaling',
        (
            Backend('absent', identity, missing=lambda: 'needs a package'),
            Backend('elsewhere', identity, devices=('cuda', 'xpu')),
            Backend('half', identity, dtypes=(torch.float16,)),
            Backend('inference', identity, backward=('cuda',)),
            Backend('plain', identity),
            Backend('slowest', identity),
        ),
    )


def test_the_first_backend_that_can_is_chosen(operator):
    assert operator.choose(torch.zeros(1)).name == 'inference'
    assert operator.choose(torch.zeros(1, requires_grad=True)).name == 'plain'
    assert operator.choose(torch.zeros(1, dtype=torch.float16)).name == 'half'
    with torch.no_grad():
        assert operator.choose(torch.zeros(1, requires_grad=True)).name == 'inference'


def test_explain_says_why_each_backend_is_not_the_one(operator):
    assert operator.explain(torch.zeros(1, requires_grad=True)) == {
        'absent': 'needs a package',
        'elsewhere': 'runs on cuda, xpu, not cpu',
        'half': 'computes in torch.float16, not torch.float32',
        'inference': 'has no backward pass on cpu',
        'plain': 'chosen',
        'slowest': 'serves',
    }


def test_every_operator_explains_its_choice():
    for operator in OPERATORS.values():
        reasons = operator.explain(torch.zeros(1, dtype=torch.float64))
        assert list(reasons) == [backend.name for backend in operator.backends]
        assert list(reasons.values()).count('chosen') == 1
        assert reasons['reference'] in ('serves', 'chosen')


def test_compiled_kernels_do_not_claim_float64():
    reasons = DEFORM_CONV2D.explain(torch.zeros(1, dtype=torch.float64))
    assert reasons['torchvision'] == 'computes in torch.float32, torch.float16, torch.bfloat16, not torch.float64'
    assert reasons['mmcv'].startswith('runs on cuda')


def test_use_backends_chooses_inside_the_block_alone():
    x = torch.zeros(1)
    before = DEFORM_CONV2D.choose(x).name
    with use_backends(**dict.fromkeys(OPERATORS, 'reference')):
        assert [operator.choose(x).name for operator in OPERATORS.values()] == ['reference'] * len(OPERATORS)
        with use_backends(deform_conv2d='auto'):
            assert DEFORM_CONV2D.choose(x).name == before
        assert DEFORM_CONV2D.choose(x).name == 'reference'
    assert DEFORM_CONV2D.choose(x).name == before


def test_use_backends_is_undone_by_errors():
    with pytest.raises(RuntimeError, match='inside'), use_backends(window_attention='reference'):
        raise RuntimeError('inside')
    assert WINDOW_ATTENTION.wanted == 'auto'


def test_unknown_names_are_refused_and_nothing_is_changed():
    with pytest.raises(ConfigError, match="no operator is called 'deform_conv'; did you mean 'deform_conv2d'"):
        use_backends(deform_conv='reference').__enter__()
    with pytest.raises(ConfigError, match="window_attention has no backend 'referense'; did you mean 'reference'"):
        use_backends(deform_conv2d='reference', window_attention='referense').__enter__()
    assert {operator.wanted for operator in OPERATORS.values()} == {'auto'}


def test_a_backend_asked_for_that_cannot_serve_says_why():
    with (
        use_backends(deform_conv2d='torchvision'),
        pytest.raises(ConfigError, match=r"deform_conv2d: backend 'torchvision' cannot be used here: it computes in"),
    ):
        DEFORM_CONV2D.choose(torch.zeros(1, dtype=torch.float64))
