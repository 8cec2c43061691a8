"""Where the time of a network goes, measured, and what the machine could do at best."""
