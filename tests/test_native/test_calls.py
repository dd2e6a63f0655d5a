from types import SimpleNamespace

import torch

from vrtspike.native.calls import function_for, int64_array, pointers, threads


def test_functions_are_named_by_the_types_of_their_tensors():
    def plain(): ...
    def mixed(): ...

    library = SimpleNamespace(add_float32=plain, add_bfloat16_float32=mixed)
    assert function_for(library, 'add', torch.float32) is plain
    assert function_for(library, 'add', torch.bfloat16, torch.float32) is mixed
    assert mixed.restype is None


def test_a_missing_tensor_is_a_null_pointer():
    x = torch.zeros(3)
    assert [pointer.value for pointer in pointers(x[1:], None)] == [x.data_ptr() + 4, None]


def test_sizes_and_threads_are_those_of_python():
    assert list(int64_array((1, 2**40))) == [1, 2**40]
    assert threads().value == torch.get_num_threads()
