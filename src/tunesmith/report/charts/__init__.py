"""Small drawings as inline SVG.

Every function returns `Markup`: text that comes from data is escaped by `Markup.format`, and nothing
carries a `style` attribute, so the page can forbid all styles but its own. Colours are CSS classes
that the page's style sheet maps for light and dark.
"""
