"""Definitions as data: R4 tables, and the code that makes and checks them."""
