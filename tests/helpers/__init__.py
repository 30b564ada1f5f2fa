"""What tests in several folders need: scenes, arrays that count, models, comparisons."""
