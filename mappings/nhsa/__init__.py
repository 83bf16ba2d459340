"""The national insurance interface (国家医疗保障信息平台 定点医药机构接口), both sides of it.

``codec`` bytes ⇄ messages; ``fields`` what the specification says of each field; ``codes`` its code tables;
``invariants`` what must add up in a settlement; ``signing`` what a gateway wants in its headers;
``maps/`` messages ⇄ FHIR; ``profiles/`` where a region departs; ``format`` all of it as a Format.
"""
