"""Page sizes: which driver callbacks a call becomes."""


def callbacks(iova, size, page_sizes):
    """The driver callbacks of one call as (page size, count): the count form of the kernel's rule, model.md §1.4.

    The 4.15 loop makes one callback of each page here; both forms walk the same leaves. Stepping over counts keeps an
    unmap of petabytes as cheap as one of a page.
    """
    end = iova + size
    while iova < end:
        page = max((page for page in page_sizes if page <= end - iova and iova % page == 0), default=None)
        if page is None:  # no kernel gets here: it refuses a range that is not made of pages
            yield end - iova, 1
            return
        bigger = min((other for other in page_sizes if other > page), default=None)
        step = end - iova
        if bigger:
            offset = bigger - iova % bigger
            if offset + bigger <= step:  # the next round can use the bigger page: stop where it begins
                step = offset
        yield page, step // page
        iova += step - step % page


def count_pages(call, page_sizes):
    """Callbacks of the 4.15 loop: where fewer bytes came back than asked, one more found nothing and ended it."""
    short = call.returned < call.size
    walked = call.returned if short else call.size
    return sum(count for _, count in callbacks(call.iova, walked, page_sizes)) + short
