"""People who log in: passwords (Argon2id), one-time codes (TOTP), and the wait after failed attempts.

https://www.rfc-editor.org/rfc/rfc9106 (Argon2) and https://www.rfc-editor.org/rfc/rfc6238 (TOTP)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.access.actor import AUDIT_ADMINISTRATOR, SECURITY_ADMINISTRATOR, SYSTEM_ADMINISTRATOR
from fhir_server.faults import Fault, Kind
from fhir_server.smart.mint import new_secret, same
from fhir_server.smart.records import Attempts, User
from fhir_server.smart.shelf import Held, Shelf, Shelves
from fhir_server.store.api import Stale
from fhir_server.store.state import Put

ADMINISTRATORS: Final = frozenset({SYSTEM_ADMINISTRATOR, SECURITY_ADMINISTRATOR, AUDIT_ADMINISTRATOR})
PRACTITIONER: Final = "practitioner"
PATIENT: Final = "patient"
PROXY: Final = "proxy"
ROLES: Final = ADMINISTRATORS | {PRACTITIONER, PATIENT, PROXY}

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 256
"""Characters of a password; the upper bound keeps a long one from costing more than it should."""

FREE_ATTEMPTS: Final = 5
"""Failed log-ins in a row that have no consequence."""
FREE_ATTEMPTS_OF_ADDRESS: Final = 30
"""The same for one network address: a hospital's many people share one."""
_FIRST_WAIT_MS: Final = 15_000
_LONGEST_WAIT_MS: Final = 15 * 60_000
_FORGIVEN_MS: Final = 24 * 3_600_000
_STEP_SECONDS: Final = 30
_RETRIES: Final = 10


class Locked(Exception):
    """Too many failed attempts: none is looked at for ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Passwords:
    """Hashes and checks passwords. ``cheap``: for tests alone, which hash hundreds."""

    def __init__(self, *, cheap: bool = False) -> None:
        self._hasher = (
            PasswordHasher(time_cost=1, memory_cost=8, parallelism=1) if cheap else PasswordHasher()
        )
        # What an unknown account is checked against, so that it takes as long as a known one.
        self._nobody = self._hasher.hash(new_secret())

    def hashed(self, password: str) -> str:
        """Return the Argon2id hash; Fault BAD_REQUEST when the password is too short or too long."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise Fault(
                Kind.BAD_REQUEST,
                f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; choose another.",
            )
        return self._hasher.hash(password)

    async def hashed_aside(self, password: str) -> str:
        """Return the hash as :meth:`hashed` does, made in a thread."""
        return await asyncio.to_thread(self.hashed, password)

    async def fits(self, hashed: str, password: str) -> bool:
        """Compare in a thread: Argon2 takes tens of milliseconds on purpose."""
        return await asyncio.to_thread(self._fits, hashed, password)

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            self._hasher.verify(hashed or self._nobody, password[:MAX_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
        return bool(hashed) and len(password) <= MAX_PASSWORD


class Users:
    """The accounts of one server; ``clock`` returns ms since the epoch."""

    def __init__(self, shelves: Shelves, passwords: Passwords, clock: Callable[[], int]) -> None:
        self._shelves = shelves
        self._passwords = passwords
        self._clock = clock

    async def with_password(self, name: str, password: str, address: str) -> User | None:
        """Return the account whose name and password these are; None when they are not.

        Raises :class:`Locked`. An account that does not exist costs the same time and is locked the same way.
        """
        keys = await self._count(name, address)
        user = await self._shelves.users.value(name)
        usable = user is not None and not user.disabled
        fits = await self._passwords.fits(user.password if user and usable else "", password)
        if user is None or not fits:
            return None
        if not user.totp:
            await self._forgive(keys)
        return user

    async def with_code(self, user: User, code: str, address: str) -> bool:
        """Tell whether ``code`` is the account's present TOTP code, unused so far. Raises :class:`Locked`."""
        keys = await self._count(user.id, address)
        held = await self._shelves.users.get(user.id)
        step = held and _step_of(held.value, code, self._clock())
        if not held or not step:
            return False
        try:
            await self._shelves.apply(
                self._shelves.users.to_replace(held, msgspec.structs.replace(held.value, totp_used=step))
            )
        except Stale:  # the same code was used a moment ago in another window
            return False
        await self._forgive(keys)
        return True

    async def _count(self, name: str, address: str) -> tuple[str, str]:
        """Count an attempt before it is judged, so that many at once are counted too; return its keys."""
        shelf = self._shelves.attempts
        keys = (f"user {name}", f"address {address}")
        for key, free in zip(keys, (FREE_ATTEMPTS, FREE_ATTEMPTS_OF_ADDRESS), strict=True):
            for _ in range(_RETRIES):
                held = await shelf.get(key)
                now = self._clock()
                if held and held.value.until > now:
                    raise Locked((held.value.until - now + 999) // 1000)
                try:
                    await self._shelves.apply(_counted(shelf, held, key, free, now))
                    break
                except Stale:
                    continue
            else:
                raise Locked(1)
        return keys

    async def _forgive(self, keys: tuple[str, str]) -> None:
        await self._shelves.apply(*(self._shelves.attempts.to_clear(key) for key in keys))


def wait_ms(count: int, free: int) -> int:
    """Return how long to wait after ``count`` attempts in a row, in ms: doubling beyond the ``free`` ones."""
    beyond = count - free
    return 0 if beyond < 0 else min(_FIRST_WAIT_MS << min(beyond, 20), _LONGEST_WAIT_MS)


def _counted(shelf: Shelf[Attempts], held: Held[Attempts] | None, key: str, free: int, now: int) -> Put:
    count = (held.value.count if held else 0) + 1
    value = Attempts(count, now + wait_ms(count, free))
    if held:
        return shelf.to_replace(held, value, expires=now + _FORGIVEN_MS)
    return shelf.to_add(key, value, expires=now + _FORGIVEN_MS)


def _step_of(user: User, code: str, now: int) -> int | None:
    """Return the time step whose code this is, the present one or a neighbour; None for a wrong one."""
    totp = pyotp.TOTP(user.totp)
    present = now // 1000 // _STEP_SECONDS
    for step in (present - 1, present, present + 1):
        if step > user.totp_used and same(code.strip(), totp.generate_otp(step)):
            return step
    return None


def check_roles(roles: tuple[str, ...]) -> None:
    """Raise Fault unless one account may hold these roles together.

    Those who run the system, who give rights and who read the audit must be different people, and none of
    them treats patients with that account.
    """
    if unknown := set(roles) - ROLES:
        raise Fault(
            Kind.BAD_REQUEST, f"{len(unknown)} roles are unknown; the roles are {', '.join(sorted(ROLES))}."
        )
    if ADMINISTRATORS & set(roles) and len(set(roles)) > 1:
        raise Fault(Kind.BAD_REQUEST, "An administrator's account holds that one role and no other.")


def is_administrator(user: User) -> bool:
    """Tell whether an account holds one of the administrators' roles."""
    return not ADMINISTRATORS.isdisjoint(user.roles)


def totp_uri(user: User, house: str) -> str:
    """Return the otpauth address that an authenticator app reads."""
    return pyotp.TOTP(user.totp).provisioning_uri(name=user.id, issuer_name=house)
