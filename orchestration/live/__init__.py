"""The whole loop live: simulated users ask the real services, and what they do becomes the next release."""
