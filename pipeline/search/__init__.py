"""The search for a recipe and its stopping point; nothing else imports Optuna."""
