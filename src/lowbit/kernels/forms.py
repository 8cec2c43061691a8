"""The table of arithmetic forms a dense convolution can take: one line each, fastest first."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.targets import Target

__all__ = ["FORMS", "Form"]


@dataclass(frozen=True)
class Form:
    """``k_group``: k values a step consumes.  ``element``: how a weight is kept in memory (see
    ``Packing``).  ``features``: what the CPU must have, one of these sets.  ``storage``: dtypes of the source layout.
    ``exact``: why the narrow sums are exact, or what must be proven from the weights.  ``bits``: of an input and of a
    weight in the bytes of a look-up form."""

    name: str
    k_group: int
    element: str
    features: tuple[frozenset[str], ...]
    storage: tuple[str, ...]
    exact: str
    bits: int = 0

    @property
    def techniques(self) -> frozenset[str]:
        """What an experiment may switch off that this form needs: names of ``targets.TECHNIQUES``."""
        return frozenset(technique for technique, part in _TECHNIQUES.items() if part in f"{self.name}_")

    def available(self, target: Target) -> bool:
        return any(needed <= target.features for needed in self.features) and not self.techniques & target.without


_TECHNIQUES = {"pairs": "_pairs_", "look-up": "lut_", "bits": "bit_", "vnni": "_vnni_"}  # technique -> part of the form's name


def _form(name: str, k_group: int, element: str, features: str, storage: str, exact: str, bits: int = 0) -> Form:
    alternatives = tuple(frozenset(needed.split()) for needed in features.split("|"))
    return Form(name, k_group, element, alternatives, tuple(storage.split()), exact, bits)


_VNNI = "avx512f avx512vnni | avxvnni"
_PAIRS = "avx512f avx512bw avx512vnni"  # CPUs with AVX-VNNI alone have three vector units, two of which multiply: no gain
_LUT = "proven: byte and int16 sums hold (lut_depth)"


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        #     name            group  element  features            source    why it is exact
        _form("bit_popcount", 32, "bit", "avx512f avx512vpopcntdq", "bits", "int32 counts"),
        _form("bit_shuffle", 32, "bit", "avx2", "bits", "a step adds at most 8 to a byte counter: widened after 31"),
        _form("bit_cnt", 8, "bit", "neon", "bits", "a step adds at most 8 to a byte counter: widened after 24"),
        _form("bit_portable", 32, "bit", "", "bits", "int32 counts"),
        _form("lut_shuffle_bits", 4, "index", "avx2", "u8", _LUT, 1),
        _form("lut_permute", 3, "index", "avx512f avx512bw avx512vbmi", "u8", _LUT, 2),
        _form("lut_shuffle", 2, "index", "avx2", "u8", _LUT, 2),
        _form("lut_tbl", 2, "index", "neon", "u8", _LUT, 2),
        _form("u8_vnni_pairs", 8, "i8", _PAIRS, "u8", "proven: the sum of any input and weight fits a byte"),
        _form("u8_vnni", 4, "i8", _VNNI, "u8", "vpdpbusd sums four products into int32 without saturation"),
        _form("u8_sdot", 4, "i8", "dotprod", "u8", "sdot sums four products into int32"),
        _form("u8_smull_pairs", 4, "i8", "neon", "u8", "proven: sums fit bytes and their products int16 (pairs_depth)"),
        _form("u8_smull", 2, "i8", "neon", "u8", "proven: the products of depth steps stay in int16 (int16_depth)"),
        _form("u8_maddubs", 4, "i8", "avx2", "u8", "proven: the sums of depth steps stay in int16 (maddubs_depth)"),
        _form("u8_split", 4, "i8", "avx2", "u8", "a step that could leave int16 is two: w // 2 and w - w // 2"),
        _form("i16_maddwd_pairs", 4, "i16", "avx2", "u8", "sums of bytes fit int16; int32 totals, as of i16_maddwd"),
        _form("i16_smlal", 1, "i16", "neon", "i16 u8", "proven: blocks of depth steps stay in int32 (int32_depth)"),
        _form("i16_vnni_pairs", 4, "i16", _PAIRS, "", "only in Winograd kernels: proven that sums fit int16"),
        _form("i16_vnni", 2, "i16", _VNNI, "i16 u8", "proven: blocks of depth steps stay in int32 (int32_depth)"),
        _form("i16_maddwd", 2, "i16", "sse2", "i16 u8", "proven: blocks of depth steps stay in int32 (int32_depth)"),
        _form("u8_portable", 1, "i8", "", "u8", "int32 products and sums"),
        _form("i16_portable", 1, "i16", "", "i16 u8", "proven: blocks of depth steps stay in int32 (int32_depth)"),
        _form("f32", 1, "f32", "", "f32", "float32: |error| <= gamma(K + 2) * sum |x w|"),
    )
}
