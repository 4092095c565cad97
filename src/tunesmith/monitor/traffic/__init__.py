"""The traffic log: what was asked and answered, as text, in Parquet files by hour."""
