from __future__ import annotations

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.targets import TARGETS
from tests.backend.test_codegen import conv


def test_every_target_has_a_form_for_every_storage() -> None:
    for target in TARGETS.values():
        stored = {dtype for form in FORMS.values() if form.available(target) for dtype in form.reads}
        assert stored - {"f16", "bf16"} == {"u8", "i16", "f32", "bits"}, target.name  # halves: where the target has them


def test_arithmetic_agrees_with_the_table() -> None:
    """A vector of weights holds k_group elements of the form's type for every lane."""
    width = {"i8": 1, "i16": 2, "f16": 4, "bf16": 2, "f32": 4}  # f16 is widened as it is read
    for target in TARGETS.values():
        for form in FORMS.values():
            if not form.available(target) or not form.arithmetic:
                continue
            ops = form.inner_step(conv(form.name, k_group=form.k_group), target)
            dtype, elements = ops.weight
            assert ops.lanes == form.cost(target).lanes(target)
            bits = ops.rows * elements * int("".join(c for c in dtype if c.isdigit()))
            group_bits = {"bit": form.k_group, "index": 8}.get(form.element) or 8 * form.k_group * width[form.element]
            assert bits == ops.lanes * group_bits, (target.name, form.name)
