"""Where a run's spans go to, where they can be looked at, and where those of others come from: the settings, put together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import DEFAULT_STORE
from agent.errors import ConfigError
from agent.export.settings import ExportSettings, Store, settings_from
from agent.receive.settings import ReceiveSettings, receive_settings
from agent.web.settings import WebSettings, web_settings

if TYPE_CHECKING:
    from agent.config import Config


def destinations(config: Config) -> list[ExportSettings]:
    """Where `run` sends spans: what is asked for, the store besides if it is named, the store alone if nothing is."""
    store = Store(Path(config.store or DEFAULT_STORE), config.store_mb, config.store_hours)
    found = settings_from(os.environ, config.export, default=store)
    # A store that is given as a destination has the same bounds.
    found = [
        Store(one.path, config.store_mb, config.store_hours) if isinstance(one, Store) else one
        for one in found
    ]
    return [*found, store] if config.store and store not in found else found


def page_of(config: Config, export: list[ExportSettings]) -> WebSettings | None:
    """The page over the store, if there is a store and a page is wanted."""
    stores = [one.path for one in export if isinstance(one, Store)]
    if not stores or not config.web:
        return None
    return web_settings(config.web, store=stores[0], token=config.web_token)


def receiver_of(config: Config, export: list[ExportSettings]) -> ReceiveSettings | None:
    """Where OTLP is received, if that is wanted. ConfigError without a store to keep it in."""
    settings = receive_settings(
        config.receive, token=config.receive_token, redaction=config.redaction
    )
    if settings is not None and not any(isinstance(one, Store) for one in export):
        raise ConfigError(
            "--receive: spans of others go into a store, and there is none: name one with --store"
        )
    return settings
