"""What grows with what, and where it stops: docs/scaling.md."""
