"""Where landing files come from without a service: public logs by adapters, and a world with known truth."""
