/// The error numbers that functions of the interface return, by their Linux values.
public enum IOMMUError: Int32, Error, Hashable, Sendable {
    /// `-E2BIG`: more than the model takes in one call. No kernel says so.
    case tooBig = 7
    /// `-ENOMEM`: no memory for tables.
    case noMemory = 12
    /// No error number of the interface: a call through a missing callback that nobody tests for, where a kernel would
    /// oops; it stands here as `-EFAULT`.
    case missingCallback = 14
    /// `-EBUSY`: the group is not in its default domain; AMD up to 4.19, something is mapped there.
    case busy = 16
    /// `-EEXIST`: something is mapped there (Arm).
    case exists = 17
    /// `-ENODEV`: the driver has no such callback, or supports no page size.
    case noDevice = 19
    /// `-EINVAL`: not aligned to the smallest page, a domain that is not of the paging kind, a group with several
    /// devices where one was named, a number that names nothing.
    case invalid = 22
    /// `-ERANGE`: beyond what the page table can translate.
    case outOfRange = 34

    /// The Linux error number, positive.
    public var errno: Int32 { rawValue }

    /// The error as the `size_t` that 4.15's `iommu_unmap` returned it in: 2^64 less the error number (model.md §1.5).
    public var asSize: UInt64 { 0 &- UInt64(rawValue) }

    /// Why a driver's map callback failed.
    init(_ error: PageTableError) {
        self =
            switch error {
            case .outOfMemory: .noMemory
            case .busy: .busy
            case .exists: .exists
            case .invalid: .invalid
            case .tooManyPages: .tooBig
            case .outOfRange: .outOfRange
            }
    }
}
