"""Citrex, the order-book venue on Sei: what is signed, what is asked and what is answered.

Facts from the exchange's SDK (citrex-sdk 1.2.2) and its API reference (citrex.readme.io); docs/citrex.md tells them.
"""
