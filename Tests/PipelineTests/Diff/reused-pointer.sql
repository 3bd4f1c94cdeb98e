-- The kernel reuses the address of a freed domain at once: three domains, told apart by generation. An allocation that
-- failed makes none.
SELECT domain.name, generation, kind, kind_evidence, allocated_ns, freed_ns, maps, unmaps, live_bytes,
    unmaps_without_map
FROM domain JOIN mapping_summary ON mapping_summary.domain = domain.id
ORDER BY domain.id;
