"""What mkdocs does besides: the card of the builtin pack is a page of the guide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

CARD = "models/builtin/MODEL_CARD.md"


def on_files(files: Files, config: Any) -> Files:
    card = Path(config.config_file_path).parent / CARD
    files.append(File.generated(config, "card.md", content=card.read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    return markdown.replace(f"../{CARD}", "card.md")
