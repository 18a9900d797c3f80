"""The arithmetic that tells numbers from look-alikes. Every function takes the characters without blanks and marks."""

from __future__ import annotations

from collections.abc import Sequence

# The dihedral group of ten, and the permutation of a digit's place (Verhoeff 1969).
_D5 = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PLACE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn(digits: str) -> bool:
    """Cards, Swedish and Canadian numbers: ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def luhn_digit(digits: str) -> str:
    """The digit that makes `digits` and it pass `luhn`."""
    return next(digit for digit in "0123456789" if luhn(digits + digit))


def mod97(characters: str) -> int:
    """The rest of division by 97, letters counting 10 to 35 (ISO 7064); 1 for an account number moved by four."""
    return int("".join(str(int(character, 36)) for character in characters)) % 97


def iban_check(country: str, account: str) -> str:
    """The two check digits of an IBAN."""
    return f"{98 - mod97(account + country + '00'):02d}"


def verhoeff(digits: str) -> bool:
    """Aadhaar: Verhoeff's scheme of the dihedral group."""
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _D5[state][_PLACE[place % 8][int(digit)]]
    return state == 0


def mod11_10(digits: str) -> bool:
    """German tax numbers: ISO 7064 MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of each digit times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def ean13(digits: str) -> bool:
    """Swiss social insurance numbers: the digit of EAN-13."""
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0
