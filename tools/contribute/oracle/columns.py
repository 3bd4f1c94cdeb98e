"""The columns of `report savings` and `report windows` that are counted here too."""

COUNTS = ("unmap_calls", "pages_unmapped", "flushes", "flushes_pending")
PERCENTILES = ("p50_ns", "p90_ns", "p99_ns", "page_p50_ns", "page_p99_ns")
PAGE_SECONDS = ("exposure_page_seconds", "censored_page_seconds")
WINDOWS = ("windows", "censored", "uncertain", "unreachable_pages", "p50_ns", "p90_ns", "p99_ns", "max_ns",
           "page_p50_ns", "page_p99_ns", *PAGE_SECONDS, "peak_stale_pages")
HAZARDS = ("hazards_access", "hazards_iova_reuse", "hazards_page_reuse", "deferred_reuse", "model_timing_error",
           "same_page_remap", "recycled", "unknown_page", "uncertain_reuse")
