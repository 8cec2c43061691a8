"""The command line: one file per verb."""

try:
    from lowbit.cli.app import app, main
except ModuleNotFoundError as error:
    if error.name not in ("click", "rich", "typer"):
        raise
    raise SystemExit(
        f"lowbit's command line needs {error.name}: pip install {error.name}; lowbit.load needs numpy alone"
    ) from None

__all__ = ["app", "main"]
