"""Forms of kernels in plain words, those of convolutions by their own."""

from __future__ import annotations

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.form import Words

__all__ = ["form_words"]

_DEPTHWISE = {
    "i8": Words("16-bit multiply-add", "depthwise", "multiplies two kernel rows of a channel a lane"),
    "i16": Words("16-bit multiply-add", "depthwise", "multiplies two kernel rows of a channel a lane"),
}


def form_words(form: str) -> Words:
    """Words for a form; one that is in no table goes by its own name."""
    if form in FORMS:
        return FORMS[form].words
    return _DEPTHWISE.get(form) or Words(form, form, "is a form this table does not describe")
