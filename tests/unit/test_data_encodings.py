"""Encodings are found and said with how sure that is; lines in another encoding are repaired and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data.read.encodings import REPAIRED, Encoding, detect, repaired
from tunesmith.data.read.find import find
from tunesmith.data.readers import Broken, Row
from tunesmith.errors import SpecError
from tunesmith.spec.load import parse
from tunesmith.spec.sections import Source

TEXTS = {
    "ru": "Моя карта не пришла. Когда я смогу получить новую карту? Почему мой платеж был отклонен?",
    "ja": "カードがまだ届いていません。新しいカードはいつ受け取れますか。支払いが拒否されたのはなぜですか。",
    "zh": "我的银行卡还没有到，请问什么时候可以收到新卡？为什么我的付款被拒绝了？请帮我更改密码。",
    "tw": "我的銀行卡還沒有到，請問什麼時候可以收到新卡？為什麼我的付款被拒絕了？請幫我更改密碼。",
    "ko": "카드가 아직 도착하지 않았습니다. 새 카드는 언제 받을 수 있나요? 결제가 왜 거부되었나요?",
    "de": "Die Karte könnte noch für länger fehlen. Größe und Maß für schöne Grüße an die Müllers.",
    "fr": "Ma carte n'est pas encore arrivée. Pourquoi mon paiement a-t-il été refusé à l'étranger ?",
    "pl": "Moja karta jeszcze nie dotarła. Dlaczego moja płatność została odrzucona? Proszę zmienić hasło.",
    "el": "Η κάρτα μου δεν έχει φτάσει ακόμα. Γιατί απορρίφθηκε η πληρωμή μου; Παρακαλώ βοηθήστε με.",
    "tr": "Kartım henüz gelmedi. Ödemem neden reddedildi? Lütfen şifremi değiştirmeme yardım edin.",
}
WRITTEN = [
    ("ru", "koi8_r"), ("ru", "cp1251"), ("ru", "iso8859_5"), ("ru", "cp866"), ("ja", "cp932"), ("ja", "euc_jp"),
    ("zh", "gb18030"), ("tw", "big5"), ("ko", "cp949"), ("de", "cp1252"), ("fr", "cp1252"), ("pl", "cp1250"),
    ("pl", "iso8859_2"), ("el", "cp1253"), ("tr", "cp1254"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "name"), WRITTEN)
def test_what_text_files_are_written_in_is_found(language: str, name: str, tmp_path: Path) -> None:
    rows = [{"text": f"{part}.", "label": "card"} for part in TEXTS[language].split(". ")]
    plain = [{"text": "the card has not arrived", "label": "card"}] * 40
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*plain, *rows])
    (tmp_path / "rows.jsonl").write_bytes(text.encode(name))
    (file,) = find(Source(path="rows.jsonl"), tmp_path)
    assert [row.values for row in file.rows() if isinstance(row, Row)][40:] == rows
    assert "% sure)" in file.encoding
    told = Source.model_validate({"path": "rows.jsonl", "format": {"kind": "jsonl", "encoding": name}})
    (file,) = find(told, tmp_path)
    assert "sure" not in file.encoding
    assert [row.values for row in file.rows() if isinstance(row, Row)][40:] == rows


def test_the_first_letter_that_is_not_ascii_may_stand_far_in(tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "plain words {n}"}}\n' for n in range(60_000))
    late = "".join(f'{{"text": "{TEXTS["ru"]} {n}"}}\n' for n in range(20))
    (tmp_path / "rows.jsonl").write_bytes(rows.encode() + late.encode("koi8_r"))
    (file,) = find(Source(path="rows.jsonl"), tmp_path)
    assert file.encoding.startswith("koi8_r")
    assert [row.values["text"] for row in file.rows() if isinstance(row, Row)][-1] == f"{TEXTS['ru']} 19"


def test_how_sure_it_is() -> None:
    assert detect(b"words") == Encoding("utf-8")
    assert detect("schön".encode()) == Encoding("utf-8")
    assert detect("schön".encode()[:5]).name == "utf-8", "a letter cut in two at the end of what was looked at"
    assert detect("schön".encode("utf-16")) == Encoding("utf-16")
    half = "".join(f"schön {n}\n" for n in range(10)).encode() + "".join(f"schön {n}\n" for n in range(10)).encode(
        "cp1252"
    )
    assert detect(half).name == "utf-8"
    assert 0.7 < detect(half).sure < 0.8
    assert str(Encoding("koi8_r", 0.87)) == "koi8_r (87% sure)"
    assert str(Encoding("koi8_r")) == "koi8_r"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe – “gut”", "Größe – “gut”"),
        ("naïve café", "naïve café"),
        ("5 €", "5 €"),
        ("\xff\xfe", None),
        ("12\xc0 34", None),
    ],
)
def test_bytes_of_cp1252_are_repaired_where_they_make_words(text: str, expected: str | None) -> None:
    assert repaired(text.encode("cp1252").decode("utf-8", "surrogateescape")) == expected


def test_bytes_beside_whole_letters_are_not_guessed() -> None:
    assert repaired("schön".encode().decode() + "sch\udcf6n") is None
    assert repaired("x \udc81 y") is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.tsv", "rows.txt"])
def test_lines_in_another_encoding_are_repaired_one_by_one_and_noted(name: str, tmp_path: Path) -> None:
    texts = ["schöne Größe", "café", "日本 und schön", "plain"]
    shape = {"rows.jsonl": '{{"text": "{}"}}\n', "rows.csv": "{},a\n", "rows.tsv": "{}\ta\n", "rows.txt": "{}\n"}[name]
    head = {"rows.csv": b"text,label\n", "rows.tsv": b"text\tlabel\n"}.get(name, b"")
    lines = [shape.format(text).encode("cp1252" if text == "café" else "utf-8") for text in texts]
    (tmp_path / name).write_bytes(head + b"".join(lines) + shape.format("x \udc81").encode("utf-8", "surrogateescape"))
    kind = {"kind": "text", "unit": "line"} if name == "rows.txt" else name.partition(".")[2]
    (file,) = find(Source.model_validate({"path": name, "format": kind}), tmp_path)
    rows = list(file.rows())
    assert [(row.values["text"], row.notes) for row in rows if isinstance(row, Row)] == [
        ("schöne Größe", ()), ("café", (REPAIRED,)), ("日本 und schön", ()), ("plain", ()),
    ]  # fmt: skip
    assert [row.reason for row in rows if isinstance(row, Broken)] == ["bytes that are not of the file's encoding"]


def test_an_encoding_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="no encoding 'koi9'"):
        parse(
            '{"name": "x", "data": {"sources": [{"path": "a.csv", "format": {"kind": "csv", "encoding": "koi9"}}]}}',
            "x.json",
        )
