"""What people read: stages as text, layer tables, machine code, differences, bench tables and reports."""
