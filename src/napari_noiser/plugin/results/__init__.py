"""How a result was made: in words, as a script, again on another image."""
