import GRDB
import Operations

extension TraceWriter {
    /// Writes what is known of the recording beside its events. The trace's own rows must be there.
    public func write(_ metadata: RecordingMetadata) throws {
        let fact = try database.makeStatement(
            sql: "INSERT INTO metadata (trace, key, value, number, source, evidence) VALUES (?, ?, ?, ?, ?, ?)")
        for row in metadata.facts {
            try fact.execute(arguments: [trace, row.name, row.value, row.number, row.source, row.evidence.rawValue])
        }
        let counters = try database.makeStatement(
            sql: """
                INSERT INTO buffer_counter (trace, cpu, entries, overrun, commit_overrun, dropped, read, source)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """)
        for row in metadata.counters {
            try counters.execute(arguments: [
                trace, row.cpu, row.entries, row.overrun, row.commitOverrun, row.dropped, row.read, row.source,
            ])
        }
        let probe = try database.makeStatement(
            sql: "INSERT INTO probe_counter (trace, probe, hits, missed, source) VALUES (?, ?, ?, ?, ?)")
        for row in metadata.probes {
            try probe.execute(arguments: [trace, row.name, row.hits, row.missed, row.source])
        }
        let group = try database.makeStatement(
            sql: "INSERT INTO iommu_group (trace, number, type, source) VALUES (?, ?, ?, ?)")
        let device = try database.makeStatement(sql: "INSERT INTO group_device VALUES (?, ?, ?)")
        for row in metadata.groups {
            try group.execute(arguments: [trace, row.number, row.type, row.source])
            let id = database.lastInsertedRowID
            for member in row.devices { try device.execute(arguments: [id, member.name, member.driver]) }
        }
        if !metadata.groups.isEmpty { try nameKinds() }
    }

    /// Domains whose events do not tell what they are for, but whose device does: in a group of type DMA the kernel's DMA
    /// API has it, unless somebody else took the group over. That is ruled out where the log shows the device in no other
    /// domain and its driver is known not to be VFIO's; without the driver's name it is inferred.
    private func nameKinds() throws {
        try database.execute(
            sql: """
                WITH device_domain AS (
                    SELECT domain.id AS domain, device.name AS device
                    FROM attachment
                    JOIN domain ON domain.id = attachment.domain
                    JOIN device ON device.id = attachment.device
                    WHERE domain.trace = ?1
                    UNION
                    SELECT domain.id, device.name
                    FROM domain JOIN device ON device.trace = domain.trace AND device.name = domain.name
                    WHERE domain.trace = ?1
                ), home AS (
                    SELECT device, count(*) AS domains FROM device_domain GROUP BY device
                ), member AS (
                    SELECT group_device.name, group_device.driver, iommu_group.type
                    FROM group_device JOIN iommu_group ON iommu_group.id = group_device.iommu_group
                    WHERE iommu_group.trace = ?1
                ), told AS (
                    SELECT device_domain.domain,
                        count(*) AS devices,
                        sum(member.type IN ('DMA', 'DMA-FQ')) AS of_the_dma_api,
                        sum(member.driver IS NOT NULL) AS driven,
                        sum(member.driver LIKE '%vfio%' OR member.driver LIKE 'pci-stub') AS of_others,
                        max(home.domains) AS homes
                    FROM device_domain
                    JOIN home ON home.device = device_domain.device
                    LEFT JOIN member ON member.name = device_domain.device
                    GROUP BY device_domain.domain
                )
                UPDATE domain SET kind = 'dma',
                    kind_evidence = CASE WHEN told.driven = told.devices THEN 'recorded' ELSE 'inferred' END
                FROM told
                WHERE told.domain = domain.id AND domain.kind = 'unknown' AND told.devices = told.of_the_dma_api
                    AND coalesce(told.of_others, 0) = 0 AND told.homes = 1
                """, arguments: [trace])
    }
}
