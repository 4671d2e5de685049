"""Commands that make pages for people."""

import click

from em_assets.cli.endings import errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import print_json


@click.command(
    short_help="Write the catalog as one HTML page.",
    epilog=examples("em-assets catalog --open", "em-assets catalog --json"),
)
@click.option("--open", "is_to_open", is_flag=True, help="Open it in the browser.")
@as_json
@errors_in_words
def catalog(is_to_open: bool, is_json: bool) -> None:
    """Write the catalog as one HTML page, a card a volume, from what the store holds now; print where it is.

    The page needs nothing but a browser: it can be mailed, or put on any web server.
    """
    from em_assets import datasets, settings
    from em_assets.page.writing import write_page

    known = settings.load()
    page = write_page(datasets.load(known), known)
    url = page.path.as_uri()
    is_opened = is_to_open and _is_opened(url)
    if is_json:
        shown = page.catalogue
        print_json(
            {
                "page": page.address,
                "url": url,
                "size_bytes": page.size_bytes,
                "datasets": shown.n_datasets,
                "volumes": len(shown.cards),
                "without_picture": sum(card.picture is None for card in shown.cards),
                "is_opened": is_opened,
            }
        )
    else:
        click.echo(page.address)
    if is_to_open and not is_opened:
        click.echo(f"no browser could be started here; open {url} in one", err=True)


def _is_opened(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
