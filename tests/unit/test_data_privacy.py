"""What is recognised as personal data or a secret, and what is not; stand-ins; the steps that use them."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.methods.privacy.checksums import iban_check, luhn, luhn_digit, mod97, verhoeff
from tunesmith.data.methods.privacy.find import find
from tunesmith.data.methods.privacy.found import IDENTIFYING, KINDS, Found, Kind, kind_of, standing
from tunesmith.data.methods.privacy.secrets import entropy, secrets
from tunesmith.data.methods.privacy.standin import PSEUDONYM_KEY, Standins, entry_name
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.room import Room
from tunesmith.data.steps.pii import Pii
from tunesmith.data.steps.secrets import Secrets
from tunesmith.errors import VaultError
from tunesmith.records import Message, Record, Span
from tunesmith.testing.material import Doubles
from tunesmith.vault.store import Vault

KEY = "jxw6XemXsgRsjR8KN+W5RiDTxrqPfhRZIGuNTKceNfk="
BYTES = bytes(range(32))


def kinds_in(text: str, least: float = 0.5) -> list[tuple[Kind, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text, KINDS) if one.confidence >= least]


# Forms and checksums -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("write to anna.muster+x@mail.example.co.uk.", "email", "anna.muster+x@mail.example.co.uk"),
        ("write to anna [at] example (dot) org", "email", "anna [at] example (dot) org"),
        ("+41 (0)71 526 99 04 is it", "phone", "+41 (0)71 526 99 04"),
        ("or (212) 555-0187 x12", "phone", "(212) 555-0187 x12"),
        ("or 0341/8387176 then", "phone", "0341/8387176"),
        ("call me on 737 219 628", "phone", "737 219 628"),
        ("card 4111 1111 1111 1111 please", "card", "4111 1111 1111 1111"),
        ("pay with 378282246310005", "card", "378282246310005"),
        ("DE89 3704 0044 0532 0130 00 is mine", "iban", "DE89 3704 0044 0532 0130 00"),
        ("on gb82west12345698765432", "iban", "gb82west12345698765432"),
        ("BIC: DEUTDEFF500", "bic", "DEUTDEFF500"),
        ("at 192.168.17.4 now", "ip", "192.168.17.4"),
        ("at 2001:db8:0:1::17 now", "ip", "2001:db8:0:1::17"),
        ("hw 00:1B:44:11:3A:B7", "mac", "00:1B:44:11:3A:B7"),
        ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "wallet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("to 0x52908400098527886E0F7030069857D2E4169EE7", "wallet", "0x52908400098527886E0F7030069857D2E4169EE7"),
        ("my passport number is X12345678", "passport", "X12345678"),
        ("driver's license: F162-8235-4011", "license", "F162-8235-4011"),
        ("see https://example.org/a(b).", "url", "https://example.org/a(b)"),
        ("She was born on 7/30/1964.", "birth_date", "7/30/1964"),
        ("geboren am 3. März 1988 in", "birth_date", "3. März 1988"),
        ("on 2005-07-21 18:19:22 then", "date", "2005-07-21 18:19:22"),
        ("This 79 year old female", "age", "79"),
        ("aged 45 and", "age", "45"),
        ("ZIP code: 75534-030", "postcode", "75534-030"),
        ("in SW1A 1AA now", "postcode", "SW1A 1AA"),
    ],
)
def test_every_kind_is_found_with_its_edges(text: str, kind: Kind, words: str) -> None:
    assert (kind, words) in kinds_in(text)


def test_a_number_is_found_with_other_numbers_right_behind_it() -> None:
    text = "it is +41 71 526 99 04 84.20.11.9 or +44 20 7946 0018 12 04 1999 now"
    assert kinds_in(text)[:2] == [("phone", "+41 71 526 99 04"), ("ip", "84.20.11.9")]
    assert ("phone", "+44 20 7946 0018") in kinds_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "the SSN 474-49-7577",
        "NINO AB 12 34 56 C",
        "NHS 943 476 5919",
        "Steuer-ID 86 095 742 719",
        "INSEE 1 84 12 76 451 089 46",
        "DNI 12345678Z",
        "NIE X1234567L",
        "codice fiscale RSSMRA85T10A562S",
        "BSN 111222333",
        "PESEL 44051401359",
        "Aadhaar 2345 6789 0124",
        "CPF 111.444.777-35",
        "personnummer 811218-9876",
        "AHV 756.9217.0769.85",
        "HETU 131052-308T",
        "rijksregisternummer 85.07.30-033.28",
        "rodné číslo 780123/3506",
        "CNP 1800101221144",
        "PAN ABCPE1234F",
        "CPR 070761-4285",
        "RIC 11010519491231002X",
    ],
)
def test_national_numbers_pass_their_arithmetic_and_look_alikes_do_not(text: str) -> None:
    said = [words for kind, words in kinds_in(text) if kind == "national_id"]
    assert said and text.endswith(said[0])
    if not re.search("SSN|PAN|NINO|CPR", text):  # those have no check digit
        at = max(place for place, character in enumerate(text) if character.isdigit())
        other = text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]
        assert not [words for kind, words in kinds_in(other) if kind == "national_id"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs 1,234,567.89 dollars or 50% of 20000000 rows.",
        "Release 1.2.3.4 and section 10.2.3.1, page 123-456.",
        "The order 4111111111111112 of 12.5 m x 300 mm at 10:45:30",
        "We saw the results in the table on page 12 and were happy about them.",
        "I want 3 apples, 12 pears and 250 grams of flour by noon.",
        "This MUST be DONE IMMEDIATELY because NOBODY LISTENS",
        "Ich habe die Rechnung gestern bekommen und das Paket war nicht im Karton.",
        "a@b and @handle and user@host are no addresses",
    ],
)
def test_what_is_none_is_not_found(text: str) -> None:
    assert kinds_in(text) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("My name is Rubija", ["Rubija"]),
        ("my name is anna muster and i wait", ["anna muster"]),
        ("Mr. Baker asked for it", ["Baker"]),
        ('"No," says Du Cane.', ["Du Cane"]),
        ("Follow up with Satsita Umkhayev in a month.", ["Satsita Umkhayev"]),
        ("Mary Jane O'Neill-Huber's bill", ["Mary Jane O'Neill-Huber"]),
        ("I met Ludwig van Beethoven there.", ["Ludwig van Beethoven"]),
        ("Herr Müller hat angerufen, das ist der Grund.", ["Müller"]),
        ("The producer Mashuu Samurakami left", ["Mashuu Samurakami"]),
        ("What is my name? I forgot what Rubija I saw", ["Rubija"]),
        ("Faina D. Yefremova's tales. Read the early Yefremova?", ["Faina D. Yefremova", "Yefremova"]),
    ],
)
def test_names_of_people_by_what_stands_around_them(text: str, names: list[str]) -> None:
    assert [words for kind, words in kinds_in(text) if kind == "person"] == names


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("I flew to Neupré on Friday", "place", "Neupré"),
        ("She moved here from Hungary", "place", "Hungary"),
        ("I used to work for Transparagov as a clerk", "organization", "Transparagov"),
        ("He sold Miller Ltd. to them", "organization", "Miller Ltd"),
        ("the Italian government", "nationality", "Italian"),
        ("We are proud norwegians", "nationality", "norwegians"),
        ("Mrs. Meier works as a nurse.", "title", "Mrs."),
        ("Mrs. Meier works as a nurse.", "title", "nurse"),
    ],
)
def test_other_names(text: str, kind: Kind, words: str) -> None:
    assert (kind, words) in kinds_in(text)


@pytest.mark.parametrize(
    "address",
    [
        "12 Main Street, Springfield, IL 62704",
        "Lindenstraße 12a, 10969 Berlin",
        "20 Rue Voltaire\n75011 Paris",
        "Calle Mayor 5",
        "Via dei Fiorentini 17",
        "the corner of Grand Avenue 14 and Sigurmundsson Greens",
        "08615 Luddingsbo Mekanikusvägen 11\n Suite 041\n SPÅNGA\n Sweden 65062",
        "Unit 8524 Box 0979\nDPO AA 56703",
    ],
)
def test_addresses_are_found_whole(address: str) -> None:
    assert ("address", address) in kinds_in(f"Ship it to {address}.")


def test_of_overlapping_finds_the_surer_stands_and_an_address_holds_its_parts() -> None:
    text = "+41 71 526 99 04 Via Roma 5, Bern"
    phone, address, town = Found(0, 16, "phone", 0.95), Found(14, 33, "address", 0.8), Found(29, 33, "place", 0.9)
    assert standing(text, [phone, town, address]) == [Found(0, 13, "phone", 0.95), address]
    assert standing(text, [phone, Found(0, 20, "card", 0.6)]) == [phone, Found(17, 20, "card", 0.6)]
    assert standing(text, [phone, Found(0, 18, "card", 0.6)]) == [phone]
    assert {kind_of("B-PER"), kind_of("CREDIT_CARD"), kind_of("email"), kind_of("colour")} == {
        "person",
        "card",
        "email",
        None,
    }


@given(st.text(alphabet="0123456789", min_size=8, max_size=18))
def test_check_digits_are_what_the_checks_accept(digits: str) -> None:
    assert luhn(digits + luhn_digit(digits))
    assert not luhn(digits + str((int(luhn_digit(digits)) + 1) % 10))
    assert mod97(digits + "DE" + iban_check("DE", digits)) == 1
    assert sum(verhoeff(digits + str(last)) for last in range(10)) == 1


@given(
    st.text(max_size=200), st.sampled_from(["", "4111 1111 1111 1111", "Anna Muster", "a@example.org", "Via Roma 5"])
)
def test_any_text_is_searched_without_harm(text: str, put: str) -> None:
    found = find(text + put, KINDS)
    assert all(0 <= one.start < one.end <= len(text + put) for one in found)
    assert all(one.end <= after.start for one, after in pairwise(found))


@pytest.mark.parametrize(
    "piece",
    ["a@", "1 ", "1-", "A. ", "Ab ", "x.", "::", "-", "nurse-", "1.1.", "corner of ", "eyJ", "password: ", "= "],
)
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    started = time.process_time()
    find(piece * 8000, KINDS)
    secrets(piece * 8000)
    assert time.process_time() - started < 20  # a fiftieth of it where no pattern tries everything twice


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl"

# Secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what", "words"),
    [
        ("id AKIAIOSFODNN7EXAMPLE in", "AWS key", "AKIAIOSFODNN7EXAMPLE"),
        ("use ghp_16C7e42F292c6912E7710c838347Ae178B4a.", "GitHub token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("sk-ant-api03-abcDEF123456_789xyzABC", "Anthropic key", "sk-ant-api03-abcDEF123456_789xyzABC"),
        ("sk-proj-abcDEF123456789xyzABC", "OpenAI key", "sk-proj-abcDEF123456789xyzABC"),
        ("xoxb-123456789012-abcdefABCDEF", "Slack token", "xoxb-123456789012-abcdefABCDEF"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "Stripe key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "Google key", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
        ("postgres://bob:s3cr3t!x@db.example.org/x", "password of a connection", "s3cr3t!x"),
        ("my password is hunter2, ok", "password", "hunter2"),
        ('{"api_key": "9f8e7d6c5b4a39281706"}', "key or token", "9f8e7d6c5b4a39281706"),
        ("Authorization: Bearer abc.DEF123-xyz789", "key or token", "abc.DEF123-xyz789"),
        (PEM, "private key", PEM),
        (JWT, "JSON web token", JWT),
    ],
)  # fmt: skip
def test_secrets_are_found_by_their_forms_and_words(text: str, what: str, words: str) -> None:
    assert [(one.what, text[one.start : one.end]) for one in secrets(text)] == [(what, words)]


@pytest.mark.parametrize(
    "text",
    [
        "the password is incorrect",
        "api_key = os.environ['KEY']",
        "token: str",
        'password = "your_password_here"',
        "password: ********",
        "The key is important.",
    ],
)
def test_what_opens_nothing_is_no_secret(text: str) -> None:
    assert secrets(text) == []


def test_entropy_is_shannons() -> None:
    assert (entropy(""), entropy("aaaa"), entropy("abab"), entropy("abcd")) == (0, 0, 1, 2)


# Stand-ins ----------------------------------------------------------------------------------------


def test_stand_ins_are_of_their_kind_and_follow_from_the_key() -> None:
    draw, other = Standins(BYTES), Standins(bytes(32))
    assert (
        draw.of("person", "Anna Muster")
        == Standins(BYTES).of("person", "anna MUSTER").title()
        != other.of("person", "Anna Muster")
    )
    assert draw.of("person", "Anna Muster").split()[1] == draw.of("person", "Muster")
    assert draw.of("person", "ANNA v. muster").split()[0].isupper()
    assert re.fullmatch(r"[a-z]+\.[a-z]+\d\d@example\.org", draw.of("email", "anna@muster.ch"))
    assert re.fullmatch(r"\+41 \(\d\)\d\d \d{3} \d\d \d\d", draw.of("phone", "+41 (0)71 526 99 04"))
    assert re.fullmatch(r"\([2-9]\d\d\) 555-\d{4}", draw.of("phone", "(212) 736-5000"))
    card = draw.of("card", "4929 1234 5678 9012")
    assert re.fullmatch(r"4242 42\d\d \d{4} \d{4}", card) and luhn(card.replace(" ", ""))
    account = draw.of("iban", "DE89 3704 0044 0532 0130 00").replace(" ", "")
    assert account.startswith("DE") and len(account) == 22 and mod97(account[4:] + account[:4]) == 1
    assert re.fullmatch(r"10(\.\d{1,3}){3}", draw.of("ip", "8.8.8.8")) and draw.of("ip", "2a00::1").startswith(
        "2001:db8:"
    )
    assert re.fullmatch(r"\d{1,2}/\d{1,2}/1964", draw.of("birth_date", "7/30/1964"))
    assert draw.of("address", "12 Main Street").endswith(" Street") and "Main" not in draw.of(
        "address", "12 Main Street"
    )
    assert re.fullmatch(r"[A-Z]\d{8}", draw.of("passport", "X12345678"))


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("email", "a{}@b.ch"),
        ("person", "Anna{} Muster{}"),
        ("iban", "DE89370400440532{:06d}"),
        ("card", "4111111111{:06d}"),
    ],
)
def test_no_two_share_a_stand_in(kind: Kind, form: str) -> None:
    draw = Standins(BYTES)
    letters = str.maketrans("0123456789", "abcdefghij")
    told = [form.format(number, number) for number in range(3000)]
    told = [one.translate(letters) for one in told] if kind == "person" else told
    assert len({draw.of(kind, one) for one in told}) == 3000


# The steps ----------------------------------------------------------------------------------------


def row(number: int, text: str, **more: object) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=text, labels=("a",), **more)  # type: ignore[arg-type]


TURNS = (Message("user", "I am anna@muster.ch"), Message("assistant", "Hello Anna Muster", trained=True))
ROWS = [
    row(1, "Call Anna Muster on +41 71 526 99 04."),
    row(2, "Nothing here."),
    Record("r3", "rows.jsonl:3", messages=TURNS),
    row(4, "IBAN DE89370400440532013000", slices={"customer": "anna@muster.ch"}),
]  # fmt: skip
ORIGINALS = ("Anna", "Muster", "71 526", "anna@muster.ch", "3704")


def written(result: StepResult, room: Room) -> str:
    """All that is kept of a step for anybody to read."""
    return repr((result.kept, result.dropped, result.changed, room.findings))


@pytest.mark.parametrize("action", ["mask", "drop", "report"])
def test_what_was_found_is_written_down_nowhere(action: str) -> None:
    room = Room()
    result = apply(Pii(action=action), ROWS, room)  # type: ignore[arg-type]
    if action == "report":
        assert result.kept == ROWS
        result.kept = []
    assert not [word for word in ORIGINALS if word in written(result, room)]
    figures = room.findings.figures["personal data"]["kinds"]
    assert figures["email"] == {"finds": 2, "rows": 2} and figures["person"]["rows"] == 2
    assert room.findings.distributions[0].low == 0.5 and room.findings.examples["email, masked"]
    if action == "drop":
        assert {drop.record.id: (drop.reason, drop.detail) for drop in result.dropped}["r1"] == (
            "holds personal data",
            "person, phone",
        )
        assert [record.id for record in result.kept] == ["r2"]
    if action == "mask":
        assert result.kept[0].text == "Call [PERSON] on [PHONE]." and result.kept[1] == ROWS[1]
        assert result.kept[2].messages[0].content == "I am [EMAIL]"
        assert result.kept[3].slices == {"customer": "[EMAIL]"} and "groups by it are joined" in room.findings.notes[0]
        assert result.changed[0].before.text == "Call •••• •••••• on ••• •• ••• •• ••."
        assert {change.reason for change in result.changed} == {
            "person masked",
            "phone masked",
            "email masked",
            "iban masked",
        }


def test_kinds_and_confidence_choose_what_is_masked() -> None:
    rows = [row(1, "Write to Du Cane, born in 1964, at x@example.org or from Zoolander.")]
    assert (
        apply(Pii(kinds=("email",)), rows).kept[0].text
        == "Write to Du Cane, born in 1964, at [EMAIL] or from Zoolander."
    )
    every = Pii.model_validate({"kinds": "all"})
    assert every.kinds == KINDS and Pii().kinds == IDENTIFYING
    assert "[BIRTH_DATE]" in (apply(every, rows).kept[0].text or "")
    assert apply(Pii(min_confidence=0.99), rows).kept == rows


def test_masked_text_holds_nothing_of_that_kind_any_more_and_spans_move() -> None:
    text = "Anna Muster pays 4111 1111 1111 1111 in Bern."
    given = Record("r", "s:1", text=text, spans=(Span(0, 11, "PER"), Span(17, 36, "CARD"), Span(40, 44, "LOC")))
    after = apply(Pii(), [given]).kept[0]
    assert after.text == "[PERSON] pays [CARD] in Bern." and after.spans is not None
    assert [(after.text[span.start : span.end], span.label) for span in after.spans] == [
        ("[PERSON]", "PER"),
        ("[CARD]", "CARD"),
        ("Bern", "LOC"),
    ]


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                "call",
                "Anna Muster",
                "a.b@example.org",
                "and",
                "+41 71 526 99 04",
                "4111111111111111",
                "DE89370400440532013000",
                "from",
                "84.20.11.9",
                "Via Roma 5",
                ".",
                "\n",
            ]
        ),
        max_size=10,
    )
)
def test_masking_twice_finds_nothing_new(words: list[str]) -> None:
    step = Pii(kinds=("email", "phone", "card", "iban", "ip", "address"))
    once = apply(step, [row(1, " ".join(words))]).kept
    assert not [one for one in find(once[0].text or "", step.kinds) if one.confidence >= 0.5]
    assert apply(step, once).changed == []


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_KEY", KEY)
    return tmp_path / "tunesmith.vault"


def test_stand_ins_are_consistent_and_who_is_behind_them_is_only_in_the_vault(vault: Path) -> None:
    room = Room(vault=vault)
    result = apply(Pii(action="pseudonym"), ROWS, room)
    assert not [word for word in ORIGINALS if word in written(result, room)] and b"Anna" not in vault.read_bytes()
    name = re.fullmatch(r"Hello (\w+ \w+)", result.kept[2].messages[1].content)
    assert name and result.kept[0].text is not None and result.kept[0].text.startswith(f"Call {name[1]} on +41 ")
    assert result.kept[2].messages[0].content == f"I am {result.kept[3].slices['customer']}"
    assert apply(Pii(action="pseudonym"), ROWS, Room(vault=vault)).kept == result.kept
    opened = Vault(vault, __import__("base64").b64decode(KEY))
    assert opened.get(entry_name("person", name[1])) == ["Anna Muster"]
    assert PSEUDONYM_KEY in opened


def test_who_was_forgotten_is_masked_from_then_on(vault: Path) -> None:
    step = Pii(action="pseudonym")
    assert step.kept(vault) == ""
    first = apply(step, ROWS[:1], Room(vault=vault)).kept[0].text or ""
    kept = step.kept(vault)
    apply(step, ROWS, Room(vault=vault))
    assert step.kept(vault) == kept != "" and Pii().kept(vault) == ""
    name = first.split()[1:3]
    Vault(vault, __import__("base64").b64decode(KEY)).forget([entry_name("person", " ".join(name))])
    assert step.kept(vault) != kept
    again = apply(Pii(action="pseudonym"), ROWS[:1], Room(vault=vault)).kept[0].text or ""
    assert again.startswith("Call [PERSON] on +41 ") and again[-15:] == first[-15:]


def test_without_a_key_there_are_no_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNESMITH_KEY", raising=False)
    monkeypatch.delenv("TUNESMITH_KEY_FILE", raising=False)
    with pytest.raises(VaultError, match="there is no key"):
        apply(Pii(action="pseudonym"), ROWS, Room(vault=tmp_path / "vault"))


class Knows(Doubles):
    """A tagger that knows one name, in small letters too."""

    def spans(self, texts: list[str]) -> list[tuple[Span, ...]]:  # type: ignore[override]
        return [
            tuple(Span(m.start(), m.end(), "B-PER") for m in re.finditer("(?i)rubija|colour", text)) for text in texts
        ]


def test_a_model_reads_names_and_guesses_by_capitals_are_left_to_it() -> None:
    step = Pii(model="run:names/1")
    assert step.models() == ("run:names/1",) and Pii().models() == ()
    rows = [row(number, f"we like rubija and the Zoolander, number {number}, a@b.ch") for number in range(300)]
    kept = apply(step, rows, Room(models=Knows())).kept
    assert kept[299].text == "we like [PERSON] and the Zoolander, number 299, [EMAIL]"
    assert apply(Pii(), rows[:1], Room()).kept[0].text == "we like rubija and the [PERSON], number 0, [EMAIL]"


def test_secrets_are_masked_or_left_out_and_written_down_nowhere() -> None:
    rows = [row(1, "password: hunter2x"), row(2, "fine"), row(3, "token = aaaaaaa1 and AKIAIOSFODNN7EXAMPLE")]
    room = Room()
    masked = apply(Secrets(), rows, room)
    assert [record.text for record in masked.kept] == ["password: [SECRET]", "fine", "token = aaaaaaa1 and [SECRET]"]
    assert room.findings.figures["secrets"] == {"action": "mask", "kinds": {"AWS key": 1, "password": 1}}
    assert room.findings.distributions[0].low == 2.5
    assert apply(Secrets(min_entropy=0.1), rows).kept[2].text == "token = [SECRET] and [SECRET]"
    dropped = apply(Secrets(action="drop"), rows, room)
    assert [(drop.record.id, drop.detail) for drop in dropped.dropped] == [("r1", "password"), ("r3", "AWS key")]
    assert apply(Secrets(action="report"), rows).kept == rows
    assert not [word for word in ("hunter2x", "AKIA") if word in written(masked, room) + written(dropped, room)]
