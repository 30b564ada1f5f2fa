"""Methods that learn: protocols, models, and the networks behind them."""
