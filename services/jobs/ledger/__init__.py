"""The audit trail: what was done, by whom, and how every film ended; in hash-chained files, one a process.

It survives a lost Redis, and results are rebuilt from it. Holds no patient data: ids, DICOM UIDs, codes.
"""
