"""Steps from text to tokens and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.processing.checks import (
    check_bool,
    check_choice,
    check_int,
    check_texts,
)
from trimtab.processing.step import Context, Step
from trimtab.processing.text import (
    KERAS_FILTERS,
    decode_byte_level,
    index_words,
    normalize_text,
    pad_rows,
)
from trimtab.processing.tokenizer_file import (
    check_tokenizer,
    guard_panics,
    read_tokenizer,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["DecodeBytes", "Detokenize", "IndexWords", "NormalizeText", "Tokenize"]

_OUTPUTS = ("attention_mask", "input_ids", "token_type_ids")
_MAX_INDEX_BYTES = 64 << 20
_MAX_ID = (1 << 31) - 1


@dataclass(frozen=True)
class NormalizeText(Step):
    """A text, or several -> the same in the shape that a vocabulary expects.

    Parameters
    ----------
    form : {"", "NFC", "NFD", "NFKC", "NFKD"}, default=""
    lower, one_space : bool, default=False
        As `trimtab.processing.text.normalize_text` has them.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "normalize_text"
    form: str = ""
    lower: bool = False
    one_space: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("form", self.form, ("", "NFC", "NFD", "NFKC", "NFKD"))
        check_bool("lower", self.lower)
        check_bool("one_space", self.one_space)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.text.normalize_text`.

        Parameters
        ----------
        value : str or sequence of str
        context : dict

        Returns
        -------
        texts : str or list of str
            As the value was.
        """
        texts = [
            normalize_text(
                text, form=self.form, lower=self.lower, one_space=self.one_space
            )
            for text in _texts(value)
        ]
        return texts[0] if isinstance(value, str) else texts


@dataclass(frozen=True)
class Tokenize(Step):
    """A text, or several -> token ids and mask as a dict of matrices.

    Leaves `attention_mask` and `n_tokens` (a list) in the context.

    Parameters
    ----------
    tokenizer : bytes
        A tokenizer.json of Hugging Face's `tokenizers`; its own truncation and padding
        do not count.
    max_tokens : int, default=512
        Longer texts are cut, special tokens kept.
    pad : {"longest", "max"}, default="longest"
        Pad to the longest of the texts, or to `max_tokens`.
    pad_id : int, default=0
    pad_side : {"post", "pre"}, default="post"
    outputs : tuple of str, default=("input_ids", "attention_mask")
        Which of these and "token_type_ids" the model takes.
    special_tokens : bool, default=True
        Add what the file says stands around a text.
    dtype : {"int64", "int32"}, default="int64"

    Raises
    ------
    InputError
        A parameter makes no sense.
    ModelFormatError
        The tokenizer is malformed or asks for too much.
    """

    kind: ClassVar[str] = "tokenize"
    tokenizer: bytes = field(repr=False)
    max_tokens: int = 512
    pad: str = "longest"
    pad_id: int = 0
    pad_side: str = "post"
    outputs: tuple[str, ...] = ("input_ids", "attention_mask")
    special_tokens: bool = True
    dtype: str = "int64"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_tokenizer(self.tokenizer)
        check_int("max_tokens", self.max_tokens, 1, 1 << 20)
        check_choice("pad", self.pad, ("longest", "max"))
        check_int("pad_id", self.pad_id, 0, _MAX_ID)
        check_choice("pad_side", self.pad_side, ("post", "pre"))
        check_texts("outputs", self.outputs)
        for name in self.outputs:
            check_choice("outputs", name, _OUTPUTS)
        check_bool("special_tokens", self.special_tokens)
        check_choice("dtype", self.dtype, ("int32", "int64"))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.tokenizer, max_tokens=self.max_tokens)

    def __call__(self, value: Any, context: Context) -> Any:
        """Tokenize.

        Parameters
        ----------
        value : str, or sequence of str
        context : dict

        Returns
        -------
        inputs : dict of str to ndarray of `dtype`, shape (n_texts, n_tokens)

        Raises
        ------
        ImportError
            The package `tokenizers` is missing.
        InputError
            The value is no text, or the tokenizer fails on it.
        """
        texts, special = _texts(value), self.special_tokens
        tokenizer = self._tokenizer
        encodings = guard_panics(
            lambda: [tokenizer.encode(t, add_special_tokens=special) for t in texts]
        )
        length = self.max_tokens if self.pad == "max" else 0
        columns = {
            "input_ids": (self.pad_id, [e.ids for e in encodings]),
            "attention_mask": (0, [e.attention_mask for e in encodings]),
            "token_type_ids": (0, [e.type_ids for e in encodings]),
        }
        matrices = {
            name: pad_rows(rows, length=length, value=filler, pad=self.pad_side)
            for name, (filler, rows) in columns.items()
        }
        context["attention_mask"] = matrices["attention_mask"]
        context["n_tokens"] = [len(e.ids) for e in encodings]
        return {name: matrices[name].astype(self.dtype) for name in self.outputs}


@dataclass(frozen=True)
class Detokenize(Step):
    """Token ids -> text, by a tokenizer.json.

    Parameters
    ----------
    tokenizer : bytes
    skip_special : bool, default=True
        Leave special tokens out.

    Raises
    ------
    InputError
        A parameter makes no sense.
    ModelFormatError
        The tokenizer is malformed or asks for too much.
    """

    kind: ClassVar[str] = "detokenize"
    tokenizer: bytes = field(repr=False)
    skip_special: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_tokenizer(self.tokenizer)
        check_bool("skip_special", self.skip_special)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.tokenizer)

    def __call__(self, value: Any, context: Context) -> Any:
        """Make text of the tokens.

        Parameters
        ----------
        value : array-like of int, shape (n_tokens,)
        context : dict

        Returns
        -------
        text : str

        Raises
        ------
        ImportError
            The package `tokenizers` is missing.
        InputError
            The value is no vector of token ids.
        """
        ids, skip = _ids(value), self.skip_special
        tokenizer = self._tokenizer
        return guard_panics(lambda: tokenizer.decode(ids, skip_special_tokens=skip))


@dataclass(frozen=True)
class DecodeBytes(Step):
    """Token ids -> text, by a byte-level vocabulary (GPT-2, Whisper).

    Parameters
    ----------
    vocabulary : bytes
        One token a line, by its id.
    n_tokens : int, default=0
        Ids from here on are special and left out; 0: none are.
    strip : bool, default=True
        Leave out spaces around the text.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_bytes"
    vocabulary: bytes = field(repr=False)
    n_tokens: int = 0
    strip: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.vocabulary, bytes):
            raise InputError("vocabulary: expected bytes, one token a line")
        if len(self.vocabulary) > _MAX_INDEX_BYTES:
            raise InputError(f"vocabulary: more than {_MAX_INDEX_BYTES} bytes")
        check_int("n_tokens", self.n_tokens, 0, _MAX_ID)
        check_bool("strip", self.strip)
        self._lines  # noqa: B018 (it checks the text)

    @cached_property
    def _lines(self) -> list[str]:
        try:
            lines = self.vocabulary.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"vocabulary: no UTF-8: {error}") from None
        return lines[: self.n_tokens] if self.n_tokens else lines

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.text.decode_byte_level`.

        Parameters
        ----------
        value : array-like of int, shape (n_tokens,)
        context : dict

        Returns
        -------
        text : str

        Raises
        ------
        InputError
            The value is no vector of token ids.
        """
        lines = self._lines
        text = decode_byte_level([lines[i] for i in _ids(value) if i < len(lines)])
        return text.strip() if self.strip else text


@dataclass(frozen=True)
class IndexWords(Step):
    """A text, or several -> word indices as Keras's Tokenizer gives them, padded.

    Parameters
    ----------
    word_index : bytes
        JSON object: word -> index from 1 on.
    length : int, default=0
        Of a row; 0: of the longest.
    n_words : int, default=0
        Words of this index or a higher one are unknown; 0: none.
    unknown : str, default=""
        The word that stands for unknown ones; "": they are left out.
    lower : bool, default=True
    filters : str
        Characters that separate words.
    split : str, default=" "
    pad, cut : {"pre", "post"}, default="pre"
        Where rows are filled with zeros, and where long ones are cut.
    dtype : {"float32", "int32", "int64"}, default="int64"

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "index_words"
    word_index: bytes = field(repr=False)
    length: int = 0
    n_words: int = 0
    unknown: str = ""
    lower: bool = True
    filters: str = KERAS_FILTERS
    split: str = " "
    pad: str = "pre"
    cut: str = "pre"
    dtype: str = "int64"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("length", self.length, 0, 1 << 20)
        check_int("n_words", self.n_words, 0, _MAX_ID)
        check_bool("lower", self.lower)
        check_texts("texts", (self.unknown, self.filters, self.split))
        if len(self.split) != 1 or len(self.filters) > 4096:
            raise InputError("split: expected one character; filters: at most 4096")
        check_choice("pad", self.pad, ("pre", "post"))
        check_choice("cut", self.cut, ("pre", "post"))
        check_choice("dtype", self.dtype, ("float32", "int32", "int64"))
        words = self._words
        if self.unknown and self.unknown not in words:
            raise InputError(f"unknown: {self.unknown!r:.80} is not in the word index")

    @cached_property
    def _words(self) -> dict[str, int]:
        content = self.word_index
        if not isinstance(content, bytes) or len(content) > _MAX_INDEX_BYTES:
            raise InputError(f"word_index: expected at most {_MAX_INDEX_BYTES} bytes")
        try:
            words = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(f"word_index: no JSON: {error}") from None
        if not isinstance(words, dict):
            raise InputError("word_index: expected a JSON object")
        for word, index in words.items():
            check_int(f"word_index[{word!r:.40}]", index, 1, _MAX_ID)
        return words

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.text.index_words`.

        Parameters
        ----------
        value : str or sequence of str
        context : dict

        Returns
        -------
        indices : ndarray of shape (n_texts, length)
        """
        rows = [
            index_words(
                text,
                self._words,
                n_words=self.n_words,
                unknown=self._words.get(self.unknown, 0),
                lower=self.lower,
                filters=self.filters,
                split=self.split,
            )
            for text in _texts(value)
        ]
        padded = pad_rows(rows, length=self.length, pad=self.pad, cut=self.cut)
        return padded.astype(self.dtype)


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise InputTypeError(f"expected a text or a list of texts, got {type(value)}")
    for text in texts:
        if not isinstance(text, str):
            raise InputTypeError(f"expected texts, got {type(text)} among them")
    return list(texts)


def _ids(value: Any) -> list[int]:
    ids = np.asarray(value)
    if ids.ndim == 2 and len(ids) == 1:
        ids = ids[0]
    if ids.size == 0:
        return []
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0:
        raise InputError(f"expected a vector of token ids, got {ids.dtype}{ids.shape}")
    found: list[int] = ids.tolist()
    return found
