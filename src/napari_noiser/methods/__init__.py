"""What can be learned: protocols, models, and the networks behind them."""
