"""What the stages share, and what the owner of a fork edits: data, models, exports, checks."""
