"""Self-contained HTML pages with inline SVG plots: one file, no scripts, nothing fetched."""
