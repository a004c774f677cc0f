"""Reserve, confirm, release, expire: an order's way through the cell; the hot path.

While a hold is PENDING only the cell decides, by the scripts in `lua/`; this slice packs claims
into batches, keeps what was accepted until Postgres has it, and words the answers. It never asks
Postgres for leave.
"""
