"""A long text cut into windows, whose mean loss gives the perplexity that papers print.

The text is joined, tokenised once (one BOS at its very start where the tokenizer adds one), and cut
into windows that do not overlap; what is left at the end is dropped. Perplexity is exp of the mean
over windows of the mean token loss. This is how GPTQ, SparseGPT, Wanda and Wei et al. (2024) read
WikiText-2: the lines of the raw test split joined by blank lines.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interlock.datasets.reading import read_sheet
from interlock.datasets.records import listed
from interlock.encoding import Encoded
from interlock.errors import ContrastError, ModelError
from interlock.model import Model
from interlock.stats import Estimate, mean

log = logging.getLogger("interlock")

_PLAIN = (".txt", ".raw", ".tokens", ".md")
_LARGEST = 64 * 2**20  # bytes; WikiText-2's test split has 1.3 MB
_COLUMN = "text"


def read_text(path: Path) -> str:
    """The text of a file: as it is, or the rows of its column `text` joined by blank lines.

    Raises:
        ContrastError: missing, far too large, not UTF-8, empty, or a table without that column.
    """
    if path.suffix.lower() not in _PLAIN:
        sheet = read_sheet(path)
        if _COLUMN not in sheet.columns:
            raise ContrastError(
                f"{path} has no column {_COLUMN}. Its columns: {listed(list(sheet.columns))}."
            )
        return "\n\n".join(str(cell or "") for cell in sheet.columns[_COLUMN])
    try:
        if path.stat().st_size > _LARGEST:
            raise ContrastError(f"{path} has over {_LARGEST / 2**20:.0f} MiB; take a part of it.")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ContrastError(f"{path} cannot be read as text: {error}.") from None
    if not text.strip():
        raise ContrastError(f"{path} is empty.")
    return text


def windows(model: Model, text: str, width: int) -> tuple[Encoded, ...]:
    """A text as windows of `width` tokens, or of the model's context where that is less.

    Raises:
        ModelError: the model has no tokenizer.
        ContrastError: the text is shorter than one window.
    """
    if model.tokenizer is None:
        raise ModelError(f"{model.name} has no tokenizer, so no text can be put to it.")
    limit = getattr(model.network.config, "max_position_embeddings", None) or width
    if limit < width:
        log.warning("%s reads %d tokens, so windows have %d.", model.name, limit, limit)
    width = min(width, limit)
    # one call for the whole text: only tokenizers with a maximum would warn of its length
    ids = model.tokenizer(text, verbose=False)["input_ids"]
    found = [ids[start : start + width] for start in range(0, len(ids) - width + 1, width)]
    if width < 2 or not found:
        raise ContrastError(f"The text has {len(ids)} tokens, less than one window of {width}.")
    return tuple(Encoded(f"window {number}", tuple(each)) for number, each in enumerate(found, 1))


def perplexity(losses: Sequence[float]) -> Estimate:
    """Exponential of the mean loss of equally long windows, with its interval over windows."""
    names = [str(number) for number in range(len(losses))]
    found = mean(np.asarray(losses, dtype=float), names, unit="nat per token")
    ends = (float(np.exp(end)) for end in (found.value, found.low, found.high))
    value, low, high = ends
    return Estimate(value, low, high, found.n, found.clusters, found.how, "perplexity")
