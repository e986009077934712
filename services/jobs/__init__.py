"""What gateway and worker agree on: records, queue scripts, spool, worklist and settings. Knows neither of them."""
