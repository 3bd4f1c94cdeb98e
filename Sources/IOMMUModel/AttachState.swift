/// Which device translates through which domain: `iommu_attach_device`, `iommu_detach_device` and their successors.
///
/// An attach moves a device. A domain without devices can be unmapped and flushed at the API, but no hardware command
/// follows and no device can reach a stale entry (design §4 12). Devices and domains are small dense numbers.
public struct AttachState: Sendable {
    private var domainOfDevice: ContiguousArray<Int32> = []
    private var devicesOfDomain: ContiguousArray<Devices> = []

    /// The devices of a domain: their number and the sum of their numbers, which is the device where there is but one.
    private struct Devices {
        var count: Int32 = 0
        var sum: Int64 = 0
        /// Whether one counts as attached though none was seen yet.
        var isAssumed = false
    }
    private let showsAttaches: Bool

    /// No device is attached anywhere yet.
    ///
    /// - Parameter showsAttaches: whether the recording shows attaches at all; without any, every domain counts as
    ///   attached.
    /// - Parameter assumed: by domain - 1, whether it counts as attached until a device of it is seen.
    public init(showsAttaches: Bool, assumed: [Bool] = []) {
        self.showsAttaches = showsAttaches
        devicesOfDomain = [Devices()] + assumed.map { Devices(isAssumed: $0) }
    }

    /// Whether a device can reach the domain's translations.
    public func isAttached(_ domain: Int32) -> Bool {
        guard showsAttaches else { return true }
        let index = Int(domain)
        return devicesOfDomain.indices.contains(index)
            && (devicesOfDomain[index].count > 0 || devicesOfDomain[index].isAssumed)
    }

    /// The one device that is attached to the domain; 0 if there is none, or several.
    public func onlyDevice(of domain: Int32) -> Int32 {
        let index = Int(domain)
        guard devicesOfDomain.indices.contains(index), devicesOfDomain[index].count == 1 else { return 0 }
        return Int32(truncatingIfNeeded: devicesOfDomain[index].sum)
    }

    /// The domain that a device is attached to; 0 if the recording has not shown it.
    public func domain(of device: Int32) -> Int32 {
        let index = Int(device)
        return domainOfDevice.indices.contains(index) ? domainOfDevice[index] : 0
    }

    /// Moves a device to a domain, out of the one that it was in.
    ///
    /// - Parameter domain: 0 where the log does not say which: the device is then in none that we know.
    public mutating func attach(device: Int32, to domain: Int32) {
        guard device > 0 else { return }
        let old = grown(&domainOfDevice, at: device)
        guard old != domain else { return }
        change(domain: old, by: -1, device: device)
        change(domain: domain, by: 1, device: device)
        domainOfDevice[Int(device)] = domain
    }

    /// Takes a device out of a domain; nothing happens if it is not in it.
    public mutating func detach(device: Int32, from domain: Int32) {
        guard device > 0, domain > 0, grown(&domainOfDevice, at: device) == domain else { return }
        change(domain: domain, by: -1, device: device)
        domainOfDevice[Int(device)] = 0
    }

    private mutating func change(domain: Int32, by delta: Int32, device: Int32) {
        guard domain > 0 else { return }
        while devicesOfDomain.count <= Int(domain) { devicesOfDomain.append(Devices()) }
        devicesOfDomain[Int(domain)].isAssumed = false
        devicesOfDomain[Int(domain)].count += delta
        devicesOfDomain[Int(domain)].sum += Int64(delta) * Int64(device)
    }

    private func grown(_ array: inout ContiguousArray<Int32>, at index: Int32) -> Int32 {
        while array.count <= Int(index) { array.append(0) }
        return array[Int(index)]
    }
}
