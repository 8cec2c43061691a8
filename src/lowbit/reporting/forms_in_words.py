"""The table of kernel forms in plain words: one line each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FormWords", "form_words"]


@dataclass(frozen=True)
class FormWords:
    """``instruction``: what multiplies; ``family``: forms of one family take the same operands; ``meaning``: what one
    instruction does, as a clause; ``any_bytes``: it takes the same time for all operands of at most 8 bits."""

    instruction: str
    family: str
    meaning: str
    any_bytes: bool = False


_FORMS: dict[str, FormWords] = {
    #                          instruction            family      what one does
    "bit_popcount": FormWords("xor + vpopcntd", "bits", "counts 32 one-bit products a lane"),
    "bit_shuffle": FormWords("xor + vpshufb", "bits", "looks up the counts of one-bit products, four bits at a time"),
    "bit_cnt": FormWords("xor + cnt", "bits", "counts 8 one-bit products a lane"),
    "bit_portable": FormWords("xor + popcount", "bits", "counts 32 one-bit products a lane"),
    "lut_shuffle_bits": FormWords("vpshufb", "look-up", "looks up the sum of four one-bit products a byte"),
    "lut_permute": FormWords("vpermb", "look-up", "looks up the sum of three two-bit products a byte"),
    "lut_shuffle": FormWords("vpshufb", "look-up", "looks up the sum of two two-bit products a byte"),
    "lut_tbl": FormWords("tbl", "look-up", "looks up the sum of two two-bit products a byte"),
    "u8_vnni": FormWords("vpdpbusd", "bytes", "multiplies four pairs of bytes a lane, whatever their values, into 32 bits", True),
    "u8_sdot": FormWords("sdot", "bytes", "multiplies four pairs of bytes a lane, whatever their values, into 32 bits", True),
    "u8_smull_pairs": FormWords("add + smlal", "bytes", "two products of bytes a lane in one multiplication, added in 16 bits"),
    "u8_smull": FormWords("smull + smlal", "bytes", "multiplies one pair of bytes a lane and adds in 16 bits"),
    "u8_maddubs": FormWords("vpmaddubsw", "bytes", "multiplies two pairs of bytes a lane and adds them in 16 bits"),
    "u8_split": FormWords("vpmaddubsw", "bytes", "multiplies two pairs of bytes a lane; steps that leave 16 bits are done twice"),
    "i16_vnni": FormWords("vpdpwssd", "int16", "multiplies two pairs of int16 a lane and adds them in 32 bits"),
    "i16_maddwd": FormWords("vpmaddwd", "int16", "multiplies two pairs of int16 a lane and adds them in 32 bits"),
    "i16_smlal": FormWords("smlal", "int16", "multiplies one pair of int16 a lane and adds in 32 bits"),
    "u8_portable": FormWords("32-bit multiply", "bytes", "multiplies one pair a lane"),
    "i16_portable": FormWords("32-bit multiply", "int16", "multiplies one pair a lane"),
    "f32": FormWords("fused multiply-add", "float", "multiplies one pair of float32 a lane"),
}
_DEPTHWISE = {
    "i8": FormWords("16-bit multiply-add", "depthwise", "multiplies two kernel rows of a channel a lane"),
    "i16": FormWords("16-bit multiply-add", "depthwise", "multiplies two kernel rows of a channel a lane"),
}


def form_words(form: str) -> FormWords:
    """Words for a form; a form that the table does not know goes by its own name.

    ``<form>_pairs`` multiplies sums of pairs with the instruction of ``<form>``."""
    table = {**_FORMS, **_DEPTHWISE}
    plain = table.get(form.removesuffix("_pairs"))
    if plain is None:
        return FormWords(form, form, "is a form this table does not describe")
    if form in table:
        return plain
    return FormWords(
        f"{plain.instruction} on sums", plain.family, "multiplies sums of pairs, (a + v)(b + u): two products at a time"
    )
