-- A large page; one kept from it by the physical address alone; by the length alone; by all three; by the IOVA alone; and a map
-- that begins and ends beside its large page. Limits are 1 IOVA, 2 physical address, 4 length.
SELECT offered, page_size, limits, callbacks, pages, bytes, iova_lifted_2m, paddr_lifted_2m, length_lifted_2m, size_lifted_2m,
    iova_lifted_1g + paddr_lifted_1g + length_lifted_1g + size_lifted_1g AS lifted_1g
FROM page_size_summary
ORDER BY page_size, limits;
