import SeededTable
import TraceStore

/// The cells of a replay, by number: whose windows, hazards and flushes are told apart.
struct CellTable {
    /// More combinations than any host shows; beyond, tasks and devices are not told apart any more.
    private static let limit = 1 << 16

    /// Whether devices and tasks are left aside.
    let tellsOnlyDomains: Bool
    private(set) var cells: ContiguousArray<Cell> = []
    /// By cell, the numbers of its domain, its device and its task among ``members``.
    private(set) var groups: ContiguousArray<Groups> = []
    /// What figures are told apart by, by number.
    private(set) var members: ContiguousArray<Member> = [.trace]
    private var numberOfCell = SeededTable<KeyPair, Int32>()
    private var numberOfMember: [Member: Int32] = [:]
    /// Interrupts of several CPUs alternate between a few cells.
    private var recent = ContiguousArray(
        repeating: (cell: Cell(domain: -1, device: 0, task: 0), number: Int32(0)), count: 64)

    /// Numbers among ``members``.
    struct Groups {
        var domain: Int32
        var device: Int32
        var task: Int32
    }

    init(tellsOnlyDomains: Bool = false) { self.tellsOnlyDomains = tellsOnlyDomains }

    /// The number of a cell, from 0.
    @inline(__always)
    mutating func number(domain: Int32, device: Int32, task: Int32) -> Int32 {
        let (device, task) = tellsOnlyDomains ? (0, 0) : (device, task)
        let cell = Cell(domain: domain, device: device, task: task)
        let slot = Int(truncatingIfNeeded: (domain &* 31 &+ device) &* 31 &+ task) & 63
        if recent[slot].cell == cell { return recent[slot].number }
        let number = slowNumber(of: cell)
        recent[slot] = (cell, number)
        return number
    }

    private mutating func slowNumber(of cell: Cell) -> Int32 {
        if let number = numberOfCell[Self.key(cell)] { return number }
        if cells.count >= Self.limit, cell.device != 0 || cell.task != 0 {
            return slowNumber(of: Cell(domain: cell.domain, device: 0, task: 0))
        }
        let number = Int32(truncatingIfNeeded: cells.count)
        cells.append(cell)
        groups.append(
            Groups(
                domain: group(.domain(cell.domain)), device: group(.device(cell.device)), task: group(.task(cell.task)))
        )
        numberOfCell.set(Self.key(cell), number)
        return number
    }

    private static func key(_ cell: Cell) -> KeyPair {
        let (domain, device) = (UInt32(bitPattern: cell.domain), UInt32(bitPattern: cell.device))
        return KeyPair(UInt64(domain) << 32 | UInt64(device), UInt64(UInt32(bitPattern: cell.task)))
    }

    /// How many slots are looked at to find a cell.
    func probes(of cell: Cell) -> Int { numberOfCell.probes(of: Self.key(cell)) }

    private mutating func group(_ member: Member) -> Int32 {
        if let known = numberOfMember[member] { return known }
        members.append(member)
        let number = Int32(truncatingIfNeeded: members.count - 1)
        numberOfMember[member] = number
        return number
    }
}
