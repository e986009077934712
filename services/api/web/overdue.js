// When a film has waited too long. The service says so too, but only while it answers; this page's clock goes on.

// The service's defaults. A site that allows more is told of it earlier here, never later.
const LIMITS_MS = { stat: 2 * 60 * 1000, routine: 15 * 60 * 1000 };

/** Return the time, in milliseconds, from which on a film or a study without an outcome is overdue. */
export function dueAt({ priority, submitted_at: submittedAt }) {
  return new Date(submittedAt).getTime() + LIMITS_MS[priority];
}

/**
 * Return whether somebody has to look without waiting any longer.
 * @param {{overdue: boolean, priority: string, submitted_at: string}} what a film or a study, as the service told it
 * @param {boolean} isOpen whether it had no outcome then
 */
export function isOverdue(what, isOpen) {
  return what.overdue || (isOpen && Date.now() > dueAt(what));
}
