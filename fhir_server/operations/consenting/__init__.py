"""Operations on a patient's consents: what they decide, what one more would change, and filing one.

docs/consent.md
"""
