"""The page on which a browser draws digits: its files, as they are served, and `page.py`."""
