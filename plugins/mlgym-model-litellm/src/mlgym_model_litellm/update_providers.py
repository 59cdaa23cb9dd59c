"""Write `providers.py` from the installed LiteLLM: `python -m mlgym_model_litellm.update_providers`."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from mlgym_model_litellm.library import load

_HEADER = '''"""The providers that LiteLLM knows, so that listing them does not import it.

Written by `python -m mlgym_model_litellm.update_providers`.
"""

LITELLM_VERSION = "{version}"

PROVIDERS = (
'''


def known_providers() -> list[str]:
    """Return the providers of the installed LiteLLM, sorted."""
    # Some versions hold an enumeration's members there, others texts.
    return sorted({str(getattr(provider, "value", provider)) for provider in load().provider_list} - {"litellm"})


def rendered() -> str:
    """Return the text of `providers.py`."""
    version = importlib.metadata.version("litellm")
    return _HEADER.format(version=version) + "".join(f'    "{name}",\n' for name in known_providers()) + ")\n"


if __name__ == "__main__":
    Path(__file__).with_name("providers.py").write_text(rendered(), encoding="utf-8")
