from __future__ import annotations

import pytest

from lowbit.kernels.abi import ARGUMENTS, KernelFrame, kernel_function


def test_signature() -> None:
    with kernel_function("some_kernel", x=("int16", 12), o=("float32", 8)) as kernel:
        assert (str(kernel.x.dtype), str(kernel.o.dtype), str(kernel.w.dtype)) == ("int16", "float32", "int8")
    func = kernel.func
    assert [param.name for param in func.params] == [*ARGUMENTS, "lo", "hi"]
    assert "some_kernel" in func.script()
    assert "float32" in str(func.params[6].ty)
    assert bool(func.attrs["tirx.noalias"])


def test_frames_have_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = KernelFrame().nothing
