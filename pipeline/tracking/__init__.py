"""All that goes to MLflow; nothing else imports it."""
