"""Documents: layout, size, and the two sides of the split apart."""

from __future__ import annotations

from workbench.data.documents import Document
from workbench.data.python_docs import documents, read_symbols


def test_there_are_megabytes_of_them(all_documents: list[Document]) -> None:
    assert sum(len(document.text.encode()) for document in all_documents) >= 2_500_000
    assert len(all_documents) > 3_000
    assert len({document.id for document in all_documents}) == len(all_documents)
    assert all(document.source == "python-docs" and document.text.strip() for document in all_documents)


def test_some_are_held_out_and_all_are_decided(all_documents: list[Document]) -> None:
    heldout = sum(len(document.text) for document in all_documents if document.heldout)
    assert all(document.heldout is not None for document in all_documents)
    assert 0.01 < heldout / sum(len(document.text) for document in all_documents) < 0.1


def test_a_function_is_its_call_and_its_docstring(all_documents: list[Document]) -> None:
    text = next(d.text for d in all_documents if d.id == "python-docs:shutil.copytree")
    assert text.startswith("shutil.copytree(src, dst, symlinks=False")
    assert "\n\nRecursively copy a directory tree and return the destination directory.\n" in text


def test_a_class_is_followed_by_its_members(all_documents: list[Document]) -> None:
    text = next(d.text for d in all_documents if d.id == "python-docs:pathlib.Path")
    assert text.startswith("class pathlib.Path(")
    assert text.index("pathlib.Path.exists()") < text.index("pathlib.Path.mkdir(mode=511")


def test_the_language_reference_is_there_once(all_documents: list[Document]) -> None:
    reference = [d.text for d in all_documents if d.id.startswith("python-docs:reference/")]
    assert any(text.startswith('The "assert" statement') for text in reference)
    assert len(set(reference)) == len(reference) > 80


def test_no_training_document_shows_the_call_of_a_heldout_symbol(all_documents: list[Document]) -> None:
    trained = {line for d in all_documents if not d.heldout for line in d.text.split("\n")}
    calls = {symbol.full_signature for symbol in read_symbols() if symbol.heldout and symbol.full_signature}
    assert calls & trained == set()


def test_the_same_documents_every_time(all_documents: list[Document]) -> None:
    assert list(documents()) == all_documents
