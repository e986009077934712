"""Results outward: what was decided, as DICOM objects or signed webhooks, to the targets that the operator names.

Consumes the outbox that ``services.jobs.delivery_outbox`` fills. At least once, and every repeat carries the same UIDs
or the same ``webhook-id``, so that a target has each object once. Knows no worker and no gateway.
"""
