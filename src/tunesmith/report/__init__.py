"""Self-contained HTML pages with inline SVG plots."""
