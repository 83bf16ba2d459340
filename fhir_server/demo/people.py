"""Make up people who cannot exist: their identity numbers and telephones are of ranges nobody is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
GIVEN_MALE = ("建国", "志强", "国华", "文博", "明远", "立新", "德胜", "永康", "海涛", "长青", "伟", "磊")
GIVEN_FEMALE = ("秀英", "桂兰", "淑珍", "玉梅", "雅琴", "晓燕", "慧敏", "美玲", "春华", "丽娟", "静", "敏")
STREETS = ("样板路", "演示街", "模拟大道", "范例胡同", "测试巷")

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"


@dataclass(frozen=True, slots=True)
class Region:
    """An insured region (统筹区): ``code`` stands in no list of administrative divisions (GB/T 2260)."""

    code: str
    province: str
    city: str
    district: str


NORTH = Region("990101", "示例省", "示例市", "示例区")
SOUTH = Region("990201", "样例省", "样例市", "样例区")


@dataclass(frozen=True, slots=True)
class Person:
    """One made-up person. ``gender`` is a code of AdministrativeGender."""

    surname: str
    given: str
    gender: str
    born: date
    id_number: str
    card_number: str
    member_number: str
    phone: str
    region: Region
    street: str

    @property
    def name(self) -> str:
        """The whole name, surname first."""
        return self.surname + self.given


def check_digit(first_17: str) -> str:
    """Return the 18th character of a resident identity number (GB 11643-1999, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True))
    return _CHECKS[total % 11]


def id_number(region: str, born: date, sequence: int, *, male: bool) -> str:
    """Return an 18-digit resident identity number; the 17th digit is odd for a man."""
    order = sequence % 500 * 2 + (1 if male else 0)
    first_17 = f"{region}{born:%Y%m%d}{order:03d}"
    return first_17 + check_digit(first_17)


def person(random: Random, number: int, region: Region, ages: tuple[int, int], today: date) -> Person:
    """Make the ``number``-th person of ``region``, aged within ``ages`` (years, both included) ``today``.

    Telephones begin with 129, a prefix that no mobile network has.
    """
    male = random.random() < 0.5
    born = today - timedelta(days=random.randint(ages[0] * 366, ages[1] * 365))
    return Person(
        surname=random.choice(SURNAMES),
        given=random.choice(GIVEN_MALE if male else GIVEN_FEMALE),
        gender="male" if male else "female",
        born=born,
        id_number=id_number(region.code, born, number, male=male),
        card_number=f"SB{region.code}{number:06d}",
        member_number=f"{region.code}{number:014d}",
        phone=f"129{random.randint(0, 99_999_999):08d}",
        region=region,
        street=f"{random.choice(STREETS)}{random.randint(1, 199)}号",
    )
