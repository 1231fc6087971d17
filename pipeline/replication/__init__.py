"""The original experiment again."""
