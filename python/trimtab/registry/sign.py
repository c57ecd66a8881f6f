"""Signatures: who vouches for a version, by Ed25519 over its digest.

They lie beside the manifest. The extra `sign` brings the package that computes them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry.canonical import canonical, parse_object
from trimtab.registry.files import guarded, new_file, place, read_file
from trimtab.registry.names import digest_hex
from trimtab.registry.store import Store, Work

__all__ = ["check_signatures", "public_bytes", "sign_digest", "signatures_of"]

_PREFIX = b"trimtab registry, manifest of a model\n"
_MAX_BYTES = 16 << 10
_MAX_SIGNATURES = 16


def _package() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ImportError(
            "signatures need cryptography: pip install 'trimtab[sign]'"
        ) from error
    return ed25519


def private_key(key: Any) -> Any:
    """Take a private key: an object of cryptography, PEM text, or 32 bytes."""
    ed25519 = _package()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    data = key.encode() if isinstance(key, str) else key
    try:
        if isinstance(data, bytes) and len(data) == 32:
            return ed25519.Ed25519PrivateKey.from_private_bytes(data)
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        found = load_pem_private_key(data, password=None)
    except (TypeError, ValueError) as error:
        raise RegistryError(
            f"key: expected an Ed25519 private key as PEM or 32 bytes: {error}"
        ) from None
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise RegistryError("key: expected an Ed25519 private key, got another kind")
    return found


def public_bytes(key: Any) -> bytes:
    """Take a public key.

    Parameters
    ----------
    key : object
        Of cryptography, PEM text, 64 hexadecimal digits, or 32 bytes.

    Returns
    -------
    key : bytes
        32 of them.

    Raises
    ------
    RegistryError
        It is none.

    Examples
    --------
    >>> public_bytes("00" * 32) == bytes(32)
    True
    """
    if isinstance(key, bytes) and len(key) == 32:
        return key
    if isinstance(key, str) and len(key) == 64:
        try:
            return bytes.fromhex(key)
        except ValueError:
            raise RegistryError(f"key: {key!r} is no hexadecimal number") from None
    ed25519 = _package()
    if isinstance(key, (str, bytes)):
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(key.encode() if isinstance(key, str) else key)
        except ValueError as error:
            raise RegistryError(f"key: expected a public key: {error}") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return bytes(key.public_bytes_raw())
    raise RegistryError("key: expected an Ed25519 public key, got another kind")


def _path(store: Store, digest: str) -> str:
    return os.path.join(
        store.folder("manifests", "sha256"), f"{digest_hex(digest)}.sig"
    )


def signatures_of(store: Store, digest: str) -> dict[str, str]:
    """Read the signatures of a version, unchecked.

    Parameters
    ----------
    store : Store
    digest : str

    Returns
    -------
    signatures : dict of str to str
        By public key, both as hexadecimal digits.

    Raises
    ------
    RegistryError
        The file is malformed.

    Examples
    --------
    >>> signatures_of(store, digest)                       # doctest: +SKIP
    {}
    """
    path = _path(store, digest)
    if not os.path.lexists(path):
        return {}
    with guarded(f"signatures of {digest[:19]}"):
        data = read_file(path, _MAX_BYTES)
    found = parse_object(data, path).get("signatures")
    if (
        not isinstance(found, dict)
        or len(found) > _MAX_SIGNATURES
        or not all(isinstance(text, str) for text in found.values())
    ):
        raise RegistryError(f"{path}: expected signatures by public key")
    return found


def sign_digest(store: Store, work: Work, digest: str, key: Any) -> str:
    """Add a signature; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    work : Work
    digest : str
    key : object
        Private key: an object of cryptography, PEM, or 32 bytes.

    Returns
    -------
    public_key : str
        64 hexadecimal digits.

    Raises
    ------
    RegistryError
        There are too many already, or the key is none.

    Examples
    --------
    >>> sign_digest(store, work, digest, pem)              # doctest: +SKIP
    'd75a9801...'
    """
    secret = private_key(key)
    public = bytes(secret.public_key().public_bytes_raw()).hex()
    signature = secret.sign(_PREFIX + digest.encode()).hex()
    found = {**signatures_of(store, digest), public: signature}
    if len(found) > _MAX_SIGNATURES:
        raise RegistryError(f"a version has at most {_MAX_SIGNATURES} signatures")
    temporary = os.path.join(work.path, "signatures")
    new_file(temporary, canonical({"signatures": found}))
    work.has_begun = True
    place(temporary, _path(store, digest))
    return public


def check_signatures(store: Store, digest: str, keys: Sequence[bytes]) -> None:
    """Check that one of some keys vouches for a version.

    Parameters
    ----------
    store : Store
    digest : str
    keys : sequence of bytes
        Public keys; none: nothing is checked.

    Raises
    ------
    RegistryError
        None of them does.

    Examples
    --------
    >>> check_signatures(store, digest, [])                # doctest: +SKIP
    """
    if not keys:
        return
    ed25519 = _package()
    from cryptography.exceptions import InvalidSignature

    found = signatures_of(store, digest)
    for key in keys:
        try:
            signature = bytes.fromhex(found.get(key.hex(), ""))
            public = ed25519.Ed25519PublicKey.from_public_bytes(key)
            public.verify(signature, _PREFIX + digest.encode())
            return
        except (InvalidSignature, ValueError):
            continue
    raise RegistryError(
        f"{digest[:19]}: none of {len(keys)} trusted keys has signed it; it has "
        f"{len(found)} signatures of others or of other content"
    )
