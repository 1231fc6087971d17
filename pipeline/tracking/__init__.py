"""All that goes to MLflow; nothing else imports it.

This file is run before MLflow is imported, wherever that is first done.
"""

import os

# No telemetry, no bars, no addresses printed (they may hold a password), and a dead server answers
# in seconds instead of minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
# Files come through the server, as they go: a client that is sent to the bucket may not reach it.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
# "Retry-After: 3600" would stop the training for that hour.
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
