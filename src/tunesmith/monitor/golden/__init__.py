"""The golden set: labelled rows that a live version is evaluated on again and again, and what people add to them."""
