"""All that is drawn; nothing else imports matplotlib."""

import os

# Before the import: pictures are files here, also where a notebook's variable, which its commands
# inherit, names a backend that this environment lacks.
os.environ["MPLBACKEND"] = "agg"
