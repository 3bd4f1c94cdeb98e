extension IOMMUCore {
    // MARK: - Devices and groups

    /// Adds a device to a group: `iommu_group_add_device` (model.md §1.7).
    ///
    /// If the group has a default domain, the device's direct mappings are made in it first, whatever becomes of them; then the
    /// device is attached to the domain that the group is in.
    ///
    /// - Parameters:
    ///   - unit: the IOMMU that it is behind.
    ///   - tlb: size of its own cache of translations, if it uses ATS.
    ///   - isAttachDeferred: whether attaches wait for its first use, ``attachDeferred(_:)``.
    ///   - attachError: what its attaches fail with, if they do.
    /// - Returns: the device's number.
    /// - Throws: ``IOMMUError/invalid`` if there is no such group or IOMMU; what the attach failed with, and the device is not in
    ///   the group then.
    public mutating func addDevice(
        group: Int32, unit: Int32, tlb: CacheGeometry? = nil, reservedRegions: [ReservedRegion] = [],
        isAttachDeferred: Bool = false, attachError: IOMMUError? = nil
    ) throws(IOMMUError) -> Int32 {
        guard let position = Self.position(group, in: groups), self.unit(unit) != nil else { throw .invalid }
        let number = Int32(truncatingIfNeeded: devices.count + 1)
        devices.append(
            IOMMUDevice(
                number: number, group: group, unit: unit, reservedRegions: reservedRegions,
                isAttachDeferred: isAttachDeferred, attachError: attachError,
                tlb: tlb.map { DeviceTLB(device: number, $0) }))
        try? createDirectMappings(group: group, device: number)
        groups[position].devices.append(number)
        if let domain = groups[position].domain {
            do {
                try attach(number, to: domain)
            } catch {
                groups[position].devices.removeLast()
                devices[Int(number) - 1].group = nil
                throw error
            }
        }
        record(.addToGroup(device: number, group: group))
        return number
    }

    /// Takes a device out of its group: `iommu_group_remove_device`. The hardware forgets it, with no attach or detach event.
    public mutating func removeDevice(_ number: Int32) {
        guard let group = device(number)?.group, let position = Self.position(group, in: groups) else { return }
        groups[position].devices.removeAll { $0 == number }
        devices[Int(number) - 1].group = nil
        leave(number)
        record(.removeFromGroup(device: number, group: group))
    }

    // MARK: - Attach

    /// Moves the only device of a group to a domain: `iommu_attach_device` (model.md §1.2).
    ///
    /// - Throws: ``IOMMUError/invalid`` if other devices share its group; else as ``attachGroup(_:to:)``.
    public mutating func attachDevice(_ device: Int32, to domain: Int32) throws(IOMMUError) {
        guard let group = soleGroup(of: device) else { throw .invalid }
        try attachGroup(group, to: domain)
    }

    /// Moves all devices of a group to a domain: `iommu_attach_group`.
    ///
    /// - Throws: ``IOMMUError/busy`` if it is not in its default domain; ``IOMMUError/noDevice`` without the callback. Where one
    ///   device of several fails, those before it stay in the new domain, but from 5.15 on go back to the old one.
    public mutating func attachGroup(_ number: Int32, to domain: Int32) throws(IOMMUError) {
        guard let group = group(number), self.domain(domain) != nil else { throw .invalid }
        let isHome = group.domain == group.defaultDomain
        guard isHome || group.defaultDomain == nil && !era.refusesToTakeOver else { throw .busy }
        for (index, device) in group.devices.enumerated() {
            do {
                try attach(device, to: domain)
            } catch {
                if era.undoesGroupAttach {
                    for moved in group.devices[..<index] {
                        if let old = group.domain { try? attach(moved, to: old) } else { leave(moved) }
                    }
                }
                throw error
            }
        }
        groups[Int(number) - 1].domain = domain
    }

    /// Takes the only device of a group out of a domain: `iommu_detach_device` (model.md §1.2).
    ///
    /// Nothing happens if other devices share its group, or it is not in that domain: a warning in a kernel.
    public mutating func detachDevice(_ device: Int32, from domain: Int32) {
        guard let group = soleGroup(of: device) else { return }
        detachGroup(group, from: domain)
    }

    /// Takes all devices of a group out of a domain: `iommu_detach_group`.
    ///
    /// Where there is a default domain, they are attached to that, which shows as an attach only. Without the callback nothing
    /// happens to a device. Nothing happens if the group is not in that domain, or that is its default one.
    public mutating func detachGroup(_ number: Int32, from domain: Int32) {
        guard let group = group(number), group.domain == domain, domain != group.defaultDomain else { return }
        for device in group.devices {
            if let home = group.defaultDomain { try? attach(device, to: home) } else { detach(device) }
        }
        groups[Int(number) - 1].domain = group.defaultDomain
    }

    /// Makes up for an attach that was put off, at the first use of a device: `iommu_deferred_attach`.
    ///
    /// - Throws: what the attach failed with.
    public mutating func attachDeferred(_ number: Int32) throws(IOMMUError) {
        guard let device = device(number), device.isAttachDeferred, let group = device.group else { return }
        devices[Int(number) - 1].isAttachDeferred = false
        if let domain = self.group(group)?.domain { try attach(number, to: domain) }
    }

    /// The group of a device that has no other.
    private func soleGroup(of device: Int32) -> Int32? {
        guard let number = self.device(device)?.group, group(number)?.devices == [device] else { return nil }
        return number
    }

    /// `__iommu_attach_device`: a deferred attach succeeds without an event, and even without the callback.
    private mutating func attach(_ number: Int32, to domain: Int32) throws(IOMMUError) {
        guard let isAttachDeferred = device(number)?.isAttachDeferred,
            let hasCallback = self.domain(domain)?.has(.attachDevice)
        else { throw .invalid }
        guard !isAttachDeferred else { return }
        guard hasCallback else { throw .noDevice }
        if let error = device(number)?.attachError { throw error }
        leave(number)
        devices[Int(number) - 1].domain = domain
        withDomain(domain) { $0.devices.append(number) }
        forget(number, in: domain)
        record(.attach(device: number, domain: domain))
    }

    /// `__iommu_detach_device`.
    private mutating func detach(_ number: Int32) {
        guard let device = device(number), !device.isAttachDeferred, let old = device.domain,
            self.domain(old)?.has(.detachDevice) == true
        else { return }
        leave(number)
        if era.tracesDetach { record(.detach(device: number, domain: old)) }
    }

    // MARK: - Hardware

    /// The device's context entry is cleared, and what its IOMMU has of the old domain is flushed.
    private mutating func leave(_ number: Int32) {
        guard let old = device(number)?.domain else { return }
        devices[Int(number) - 1].domain = nil
        withDomain(old) { $0.devices.removeAll { $0 == number } }
        forget(number, in: old)
    }

    /// Each attach and each detach flushes the whole domain in the device's IOMMU, and the device's own TLB (model.md §4.4, §9 26).
    private mutating func forget(_ number: Int32, in domain: Int32) {
        guard let unit = device(number)?.unit else { return }
        send(.wholeDomain, domain: domain, unit: unit)
        sendToDevice(.wholeDomain, number)
    }
}
