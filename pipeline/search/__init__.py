"""The search for rates and the stopping point; nothing else imports Optuna."""
