"""Running compiled networks: the artifact file, the native library, the callable.  numpy only."""
