"""What the plugin registers."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core import ToolSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tools() -> Iterator[ToolSpec]:
    """Yield the tools, none of which is on offer unless a run names it or grants it the literature."""
    yield ToolSpec("open", "mlgym_tools.viewing:Open", "Opens a file in the viewer")
    yield ToolSpec("goto", "mlgym_tools.viewing:Goto", "Shows the open file from a line on")
    yield ToolSpec("scroll_up", "mlgym_tools.viewing:ScrollUp", "Shows the window above")
    yield ToolSpec("scroll_down", "mlgym_tools.viewing:ScrollDown", "Shows the window below")
    yield ToolSpec("create", "mlgym_tools.viewing:Create", "Makes an empty file and opens it")
    yield ToolSpec("edit", "mlgym_tools.editing:Edit", "Replaces lines of the open file")
    yield ToolSpec("insert", "mlgym_tools.editing:Insert", "Adds lines to the open file")
    yield ToolSpec("search_dir", "mlgym_tools.searching:SearchDir", "Finds a text in the files of a folder")
    yield ToolSpec("search_file", "mlgym_tools.searching:SearchFile", "Finds a text in a file")
    yield ToolSpec("find_file", "mlgym_tools.searching:FindFile", "Finds files by name")
    yield ToolSpec("memory_write", "mlgym_tools.memory:MemoryWrite", "Keeps a note for the episode, or for the run")
    yield ToolSpec("memory_read", "mlgym_tools.memory:MemoryRead", "Finds notes")
    yield ToolSpec(
        "literature_search",
        "mlgym_tools.literature:LiteratureSearch",
        "Searches arXiv or Semantic Scholar (--grant literature)",
        default=True,
        grant="literature",
    )
    yield ToolSpec(
        "read_pdf",
        "mlgym_tools.literature:ReadPdf",
        "Shows pages of a paper (--grant literature)",
        default=True,
        grant="literature",
    )
