"""Signatures: who is trusted is asked, and no other content is vouched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab import Registry, RegistryError
from trimtab.registry.sign import public_bytes

from .conftest import check_whole

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_versions_that_nobody_trusted_has_signed_are_not_given(
    filled: Registry,
) -> None:
    ours, theirs = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    public = filled.sign("digits/2", ours)
    assert filled.sign("digits/2", pem(theirs)) != public
    filled.sign("digits/1", theirs)
    careful = Registry(filled.path, trusted_keys=[public])
    assert careful.get("digits@champion").version == 2
    for reference in ("digits/1", "digits/3"):
        with pytest.raises(RegistryError, match="trusted"):
            careful.get(reference)
    with pytest.raises(RegistryError, match="trusted"):
        careful.promote("digits", 3)
    wrong = {p.where for p in careful.verify(quarantine=False).problems}
    assert wrong == {"digits/1", "digits/3"}
    assert filled.history("digits")[-1].kind == "sign"
    check_whole(filled.path)


def test_a_signature_of_another_version_is_none(filled: Registry) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = filled.sign("digits/2", key)
    a, b = (
        filled.store.manifest_path(filled.get(f"digits/{n}").digest) for n in (2, 3)
    )
    Path(b).with_suffix(".sig").write_bytes(Path(a).with_suffix(".sig").read_bytes())
    with pytest.raises(RegistryError, match="trusted"):
        Registry(filled.path, trusted_keys=[public]).get("digits/3")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"signatures":{"a":1}}', b"{" * 999, b" " * 99999]
)
def test_signatures_that_are_none_are_refused(content: bytes, filled: Registry) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = filled.sign("digits/2", key)
    path = Path(filled.store.manifest_path(filled.get("digits/2").digest))
    path.with_suffix(".sig").unlink()
    path.with_suffix(".sig").write_bytes(content)
    with pytest.raises(RegistryError):
        Registry(filled.path, trusted_keys=[public]).get("digits/2")
    assert filled.get("digits/2")  # who trusts everybody does not look


def test_keys_come_in_every_shape() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = key.public_bytes_raw()
    text = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for given in (key, raw, raw.hex(), text, text.decode()):
        assert public_bytes(given) == raw
    for wrong in (b"", "x", "g" * 64, 3, b"-----BEGIN PUBLIC KEY-----"):
        with pytest.raises(RegistryError, match="key"):
            public_bytes(wrong)


def test_keys_of_other_kinds_cannot_sign(filled: Registry) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    for key in (pem(ec.generate_private_key(ec.SECP256R1())), b"x", "", 3):
        with pytest.raises(RegistryError, match="Ed25519"):
            filled.sign("digits/2", key)


def test_a_version_has_at_most_sixteen_signatures(filled: Registry) -> None:
    for i in range(16):
        filled.sign("digits/2", bytes([i]) * 32)
    filled.sign("digits/2", bytes([3]) * 32)  # the same again
    with pytest.raises(RegistryError, match="16"):
        filled.sign("digits/2", bytes([77]) * 32)


def test_signatures_go_with_their_version(filled: Registry) -> None:
    filled.sign("digits/1", bytes(32))
    filled.promote("digits", 3)
    filled.gc(keep=1)
    assert list(Path(filled.path).glob("manifests/sha256/*.sig")) == []
