"""KernelSpec -> TensorIR -> LLVM -> one relocatable object with one function, and two more around a bracketed kernel."""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from lowbit.errors import LowbitError, UnsupportedOperation
from lowbit.files import scratch_folder, unwritable
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.targets import Target

__all__ = ["Generated", "compile_function", "generate", "prim_func"]

_ROOM = 16 << 20  # bytes; the largest kernels take a tenth of it
_ADDRESS = re.compile(r'"0x[0-9a-f]+')


@dataclass(frozen=True, eq=False)
class Generated:
    """A compiled kernel and, on request, every text it went through."""

    symbol: str
    object: bytes  # ELF relocatable, one global function ``symbol``
    _func: Any = field(repr=False)
    _module: Any = field(repr=False)

    @cached_property
    def tir(self) -> str:
        """TensorIR as TVMScript."""
        return str(self._func.script(show_meta=False))

    @cached_property
    def llvm(self) -> str:
        """Optimised LLVM IR.  Alias-analysis tags, which TVM names after addresses, are numbered."""
        text = str(self._module.inspect_source("ll"))
        tags = {tag: f'"buffer{i}' for i, tag in enumerate(dict.fromkeys(_ADDRESS.findall(text)))}
        return _ADDRESS.sub(lambda match: tags[match[0]], text)

    @cached_property
    def asm(self) -> str:
        """Assembly."""
        return str(self._module.inspect_source("asm"))


def prim_func(spec: KernelSpec, target: Target) -> Any:
    """The TensorIR function of ``spec``.  Raises UnsupportedOperation for a kind without a builder."""
    return _functions(spec, target)[0]


def _functions(spec: KernelSpec, target: Target) -> tuple[Any, ...]:
    """The kernel, and what begins and ends a thread's share of it where there is such."""
    from lowbit.kernels.vectors import idioms_of

    if spec.kind not in KERNELS:
        raise UnsupportedOperation(f"no kernel builder for {spec.kind!r}; kinds with one: {', '.join(sorted(KERNELS))}")
    with idioms_of(target):
        made = named(KERNELS[spec.kind].build)(spec, target)
    return made if spec.bracketed else (made,)


def generate(spec: KernelSpec, target: Target) -> Generated:
    """Compile one kernel for ``target``.  Deterministic: equal arguments give equal bytes."""
    func, *around = _functions(spec, target)
    return compile_function(func, spec.symbol(target.name), target, *around)


def compile_function(func: Any, symbol: str, target: Target, *around: Any) -> Generated:
    """Compile the PrimFunc ``func``, whose global symbol is ``symbol``, into one object with those ``around`` it."""
    import tvm

    machine = _tvm_target(target)
    lowered = tvm.IRModule({symbol: func, **{str(other.attrs["global_symbol"]): other for other in around}})
    for step in _passes(machine):
        lowered = step(lowered)
    module = tvm.get_global_func("target.build.llvm")(lowered, machine)
    return Generated(symbol, _object(module), func, module)


def _object(module: Any) -> bytes:
    """The ELF file of a module.  LLVM writes it itself, into a file, and ends the process where that fails; so the file is
    one in memory, or, where the system has none, in a folder that has room for it.

    Raises LowbitError: no room, or a limit on the size of files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and limit < _ROOM:
        raise LowbitError(f"files may have {limit} bytes (ulimit -f); compiling a kernel needs {_ROOM}")
    try:
        file = os.memfd_create("lowbit-kernel", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # an old kernel, or a sandbox that forbids it
        return _object_on_disk(module)
    with os.fdopen(file, "rb") as memory:
        path = f"/proc/self/fd/{memory.fileno()}"
        if not os.path.exists(path):
            return _object_on_disk(module)
        module.write_to_file(path, "o")
        return memory.read()


def _object_on_disk(module: Any) -> bytes:
    with scratch_folder() as folder:
        path = folder / "kernel.o"
        if problem := unwritable(folder, _ROOM):
            raise problem
        module.write_to_file(str(path), "o")
        return path.read_bytes()


@cache
def _tvm_target(target: Target) -> Any:
    import tvm

    features = [f"+{feature}" for feature in sorted(target.features)]
    if "avx512vnni" in target.features:
        features.append("+fast-dpwssd")  # of several vpdpwssd in a row LLVM would make vpmaddwd and vpaddd
    return tvm.target.Target({"kind": "llvm", "mtriple": target.triple, "mcpu": target.mcpu, "mattr": features})


def _passes(machine: Any) -> tuple[Any, ...]:
    """What of TVM's TensorIR pipeline our functions need: their buffers are flat, their loops serial, their
    vectors explicit already, and LLVM simplifies in a tenth of the time that TVM's passes take.

    Without AnnotateEntryFunc, SplitHostDevice and MakePackedAPI a function keeps its plain C signature and
    imports no run-time hook.
    """
    import tvm

    return tvm.tirx.transform.BindTarget(machine.with_host(machine)), tvm.tirx.transform.LowerIntrin()
