"""The second stage: a blind-spot network that denoises."""
