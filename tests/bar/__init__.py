"""The reliability bar: one test a row of RELIABILITY.md §2, one JSON line each (`make bar`)."""
