"""The YAML a user writes, as typed and validated models. No torch, no ray."""
