"""Running compiled networks: the artifact file, the native library, the callable.  numpy only."""

from lowbit.runtime.compiled import Compiled, load

__all__ = ["Compiled", "load"]
