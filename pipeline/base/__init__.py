"""What every command shares: its command line, files written whole, paths, interrupts."""
