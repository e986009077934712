"""What people read: verdicts, tables, plots, the report page and the card. Takes the report's figures, makes none."""
