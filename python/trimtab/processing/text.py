"""Text as numbers and back: word indices, byte-level tokens, pooled tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import check_choice, check_int

__all__ = [
    "KERAS_FILTERS",
    "decode_byte_level",
    "index_words",
    "l2_normalize",
    "mean_pool",
    "normalize_text",
    "pad_rows",
]

#: What Keras's Tokenizer takes out by default.
KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

Ints = npt.NDArray[np.int64]


def normalize_text(
    text: str, *, form: str = "", lower: bool = False, one_space: bool = False
) -> str:
    """Bring a text into one of the shapes that a vocabulary expects.

    Parameters
    ----------
    text : str
    form : {"", "NFC", "NFD", "NFKC", "NFKD"}, default=""
        Of Unicode.
    lower : bool, default=False
        Lower case.
    one_space : bool, default=False
        Strip, and make runs of white space one space.

    Returns
    -------
    text : str

    Examples
    --------
    >>> normalize_text("  Ever\\tTried ", lower=True, one_space=True)
    'ever tried'
    """
    if form:
        text = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    if lower:
        text = text.lower()
    return " ".join(text.split()) if one_space else text


def index_words(
    text: str,
    word_index: Mapping[str, int],
    *,
    n_words: int = 0,
    unknown: int = 0,
    lower: bool = True,
    filters: str = KERAS_FILTERS,
    split: str = " ",
) -> list[int]:
    """Look words up as Keras's Tokenizer does.

    Parameters
    ----------
    text : str
    word_index : mapping of str to int
        From 1 on, the most frequent first.
    n_words : int, default=0
        Words of this index or a higher one are unknown; 0: none.
    unknown : int, default=0
        The index of unknown words; 0: they are left out.
    lower : bool, default=True
    filters : str
        Characters that separate words.
    split : str, default=" "
        The separator.

    Returns
    -------
    indices : list of int

    Examples
    --------
    >>> index_words("Fail again. Fail better!", {"fail": 1, "better": 2}, unknown=9)
    [1, 9, 1, 2]
    """
    if lower:
        text = text.lower()
    text = text.translate({ord(character): split for character in filters})
    found = []
    for word in text.split(split):
        index = word_index.get(word, 0) if word else None
        if index is None:
            continue
        if index == 0 or (n_words and index >= n_words):
            index = unknown
        if index:
            found.append(index)
    return found


def pad_rows(
    rows: Sequence[Sequence[int]],
    *,
    length: int = 0,
    value: int = 0,
    pad: str = "post",
    cut: str = "post",
) -> Ints:
    """Make rows equally long.

    Parameters
    ----------
    rows : sequence of sequence of int
    length : int, default=0
        0: of the longest.
    value : int, default=0
        What is added.
    pad, cut : {"pre", "post"}, default="post"
        Where values are added and taken away.

    Returns
    -------
    matrix : ndarray of int64, shape (n_rows, length)

    Raises
    ------
    InputError
        A parameter makes no sense.

    Examples
    --------
    >>> pad_rows([[1, 2, 3], [4]], length=2, pad="pre", cut="pre").tolist()
    [[2, 3], [0, 4]]
    """
    check_int("length", length, 0, 1 << 24)
    check_choice("pad", pad, ("pre", "post"))
    check_choice("cut", cut, ("pre", "post"))
    length = length or max(map(len, rows), default=0)
    out = np.full((len(rows), length), value, np.int64)
    for to, row in zip(out, rows, strict=True):
        kept = row[max(0, len(row) - length) :] if cut == "pre" else row[:length]
        if pad == "pre":
            to[length - len(kept) :] = kept
        else:
            to[: len(kept)] = kept
    return out


@lru_cache(maxsize=1)
def _bytes_of_characters() -> dict[str, int]:
    """Printable stand-ins of bytes in byte-level vocabularies (GPT-2's).

    Visible characters of Latin-1 stand for themselves; the other bytes, in order, for
    the characters from 256 on.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in visible]
    table = {chr(b): b for b in visible}
    table.update({chr(256 + i): b for i, b in enumerate(others)})
    return table


def decode_byte_level(tokens: Sequence[str]) -> str:
    """Join tokens of a byte-level vocabulary (GPT-2, Whisper, RoBERTa) into text.

    Parameters
    ----------
    tokens : sequence of str
        As the vocabulary writes them; a space is ``\\u0120``.

    Returns
    -------
    text : str
        Bytes that are no UTF-8 become the replacement character.

    Examples
    --------
    >>> decode_byte_level(["Try", "\\u0120again", "."])
    'Try again.'
    """
    table = _bytes_of_characters()
    content = bytearray()
    for token in tokens:
        try:
            content += bytes(table[c] for c in token)
        except KeyError:  # no byte-level token: an added one, in plain text
            content += token.encode("utf-8", "replace")
    return content.decode("utf-8", "replace")


def mean_pool(states: npt.ArrayLike, mask: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Mean over the tokens that a mask keeps.

    Parameters
    ----------
    states : array-like of shape (n_texts, n_tokens, width)
    mask : array-like of shape (n_texts, n_tokens)
        1 for tokens, 0 for padding.

    Returns
    -------
    pooled : ndarray of float32, shape (n_texts, width)
        0 where no token is kept.

    Raises
    ------
    InputError
        The shapes do not fit.

    Examples
    --------
    >>> mean_pool([[[1.0], [3.0], [9.0]]], [[1, 1, 0]]).tolist()
    [[2.0]]
    """
    values = np.asarray(states, np.float32)
    keep = np.asarray(mask, np.float32)
    if values.ndim != 3 or keep.shape != values.shape[:2]:
        raise InputError(
            f"expected states of each token of the mask {keep.shape}, "
            f"got {values.shape}"
        )
    total = np.matmul(keep[:, None, :], values)[:, 0]
    count = np.maximum(keep.sum(axis=1, keepdims=True), np.float32(1e-9))
    return np.asarray(total / count, np.float32)


def l2_normalize(
    vectors: npt.ArrayLike, *, axis: int = -1, epsilon: float = 1e-12
) -> npt.NDArray[np.float32]:
    """Scale vectors to length 1.

    Parameters
    ----------
    vectors : array-like
    axis : int, default=-1
    epsilon : float, default=1e-12
        Shortest length that is divided by.

    Returns
    -------
    normalized : ndarray of float32

    Examples
    --------
    >>> l2_normalize([3.0, 4.0]).round(6).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    values = np.asarray(vectors, np.float32)
    length = np.sqrt((values * values).sum(axis=axis, keepdims=True))
    return np.asarray(values / np.maximum(length, np.float32(epsilon)), np.float32)
