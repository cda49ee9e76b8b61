"""A grid's trials as tables, sentences and pictures, in HTML, Markdown and LaTeX."""
