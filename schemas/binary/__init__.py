"""Avro's binary encoding for the subset that our schemas use, compiled once per schema and strict when reading.

A schema becomes a tree of small functions. What comes out are the values that records carry: decimals as integers in
schema units, timestamps as integers, enums and nested records as their classes, arrays as tuples. Every varint, length,
union index and enum index is checked against the end of the buffer and the schema (Avro 1.12 specification, "Binary
encoding" and "Decimal").
"""

from schemas.binary.reading import Reader, compile_reader
from schemas.binary.writing import Writer, compile_writer, encode_long

__all__ = ["Reader", "Writer", "compile_reader", "compile_writer", "encode_long"]
