"""All that is drawn; nothing else imports matplotlib."""
