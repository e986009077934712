"""What follows from each report's own numbers, by the product's own metric functions; one module a report."""
