"""The catalog as one page for people: a card a volume, in one HTML file that needs nothing but a browser.

::

    what the store holds ──▶ cards (what is said, who says it) ──▶ page.html + page.css + page.js ──▶ catalog/index.html
                              pictures, checks, snippets

Nothing in it comes from elsewhere and nothing leaves it; the same store gives the same bytes.
"""
