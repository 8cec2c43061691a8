"""Studies: where trials are kept, whose study it is, and what a trial holds."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import ConfigError, ToolMissing
from lowbit.searching.urls import masked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

__all__ = ["ATTRIBUTE", "Notes", "belongs", "open_storage", "open_study", "quiet_optuna", "storage_url", "study_names"]

ATTRIBUTE = "lowbit"
"""The attribute of a study, and of a trial, that holds what lowbit knows of it."""
HEARTBEAT = 10
"""Seconds between two signs of life of a trial; one without for three times as long is tried again."""


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's own lines are not shown meanwhile.  Raises ToolMissing without it."""
    try:
        import optuna
    except ImportError:
        raise ToolMissing("a search needs Optuna: pip install lowbit[search]") from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_storage(url: str | None, heartbeat: float = HEARTBEAT) -> BaseStorage:
    """``sqlite:///file.db``, ``postgresql://user@host/base``, another URL of SQLAlchemy, or ``grpc://host:port`` of Optuna's
    proxy; None: in memory.

    Trials of a worker that died are tried again, except through a proxy, which has no heartbeat.
    Raises ConfigError for a URL that cannot be opened, ToolMissing for a missing driver."""
    from optuna.storages import GrpcStorageProxy, InMemoryStorage, RDBStorage, RetryHeartbeatStaleTrialCallback

    if url is None:
        return InMemoryStorage()
    if url.startswith("grpc://"):
        host, _, port = url.removeprefix("grpc://").partition(":")
        if not port.isdigit():
            raise ConfigError(f"storage {url!r}: write grpc://host:port")
        return GrpcStorageProxy(host=host, port=int(port))
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    given = masked(url)
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite:"):
        options["connect_args"] = {"timeout": 60}
    try:
        return RDBStorage(
            url,
            engine_kwargs=options,
            heartbeat_interval=max(1, round(heartbeat)),
            grace_period=max(3, round(3 * heartbeat)),
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(
            f"storage {given!r}: write sqlite:///file.db, postgresql://user:password@host/base or grpc://host:port"
        ) from None
    except ImportError as error:
        raise ToolMissing(f"storage {given!r} needs a driver: {error}; for PostgreSQL: pip install lowbit[postgresql]") from None
    except (SQLAlchemyError, RuntimeError) as error:
        raise ConfigError(f"storage {given!r} cannot be opened: {str(error).splitlines()[0]}") from None


def storage_url(text: str, must_exist: bool = False) -> str:
    """A URL as it is, a file as that of SQLite.  Raises ConfigError for a file that is not there, where it must."""
    if "://" in text:
        file = Path(text.removeprefix("sqlite:///"))
        if must_exist and text.startswith("sqlite:///") and not file.exists():
            raise ConfigError(
                f"{file} does not exist; write the storage of a search, such as s.db or postgresql://user@host/base"
            )
        return text
    if must_exist and not Path(text).is_file():
        raise ConfigError(f"{text} does not exist; write the storage of a search, such as s.db or postgresql://user@host/base")
    return f"sqlite:///{text}"


def study_names(storage: BaseStorage) -> list[str]:
    return [study.study_name for study in storage.get_all_studies()]


def open_study(storage: BaseStorage, name: str | None) -> Study:
    """An existing study of lowbit; None: the only one there is.  Raises ConfigError listing those there are."""
    import optuna

    names = study_names(storage)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        what = f"no study {name!r}" if name else "write which study"
        raise ConfigError(f"{what}; the storage has {', '.join(names) or 'none'}")
    study = optuna.load_study(study_name=name, storage=storage)
    if ATTRIBUTE not in study.user_attrs:
        raise ConfigError(f"study {name!r} was not made by lowbit search")
    return study


def belongs(study: Study, identity: Mapping[str, Any]) -> None:
    """Raises ConfigError, with the difference, for a study of another space, network, objective, ..."""
    held = study.user_attrs[ATTRIBUTE]["identity"]
    wrong = [
        f"{key}: {_difference(held.get(key), identity.get(key))}"
        for key in dict.fromkeys([*held, *identity])
        if json.loads(json.dumps(identity.get(key))) != held.get(key)
    ]
    if wrong:
        raise ConfigError(
            f"study {study.study_name!r} was begun with another search; {'; '.join(wrong)}.  "
            "Write another --study name, or the same search"
        )


def _difference(held: Any, given: Any) -> str:
    """A few words: what the study has, what was given."""
    if isinstance(held, list) and isinstance(given, list) and all(isinstance(part, dict) for part in [*held, *given]):
        old, new = ({part.get("name", part.get("text", "")): part for part in side} for side in (held, given))
        parts = [f"without {name}" for name in old if name not in new] + [f"with {name}" for name in new if name not in old]
        for name in old:
            if name in new and old[name] != new[name]:
                inner = [key for key in old[name] if old[name].get(key) != new[name].get(key)]
                parts += [f"{name} {key} {old[name].get(key)} there, {new[name].get(key)} here" for key in inner]
        return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "") or "another order"
    if isinstance(held, dict) and isinstance(given, dict):
        return ", ".join(f"{key} {_difference(held.get(key), given.get(key))}" for key in held if held.get(key) != given.get(key))
    return f"{held} there, {given} here"


class Notes(MutableMapping[str, Any]):
    """What belongs to a study as a whole, one attribute an entry, stored when it is set."""

    def __init__(self, study: Study, prefix: str = "note:") -> None:
        self._study, self._prefix = study, prefix

    def __getitem__(self, key: str) -> Any:
        return self._study.user_attrs[self._prefix + key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._study.set_user_attr(self._prefix + key, value)

    def __delitem__(self, key: str) -> None:
        raise TypeError("notes of a study are not removed")

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self._prefix) for key in self._study.user_attrs if key.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
