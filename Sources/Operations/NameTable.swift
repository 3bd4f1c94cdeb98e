import TraceFormats

/// Names that a log uses, numbered from 1 in the order in which they appear.
struct NameTable {
    private(set) var names: ContiguousArray<String> = []
    private var numberOfSymbol: [Symbol: Int32] = [:]
    private var numberOfName: [String: Int32] = [:]

    func number(of symbol: Symbol) -> Int32? { numberOfSymbol[symbol] }

    /// Numbers a symbol; one name may have several, such as one with and one without quotes around it.
    mutating func add(_ symbol: Symbol, _ name: String) -> Int32 {
        let number = numberOfName[name] ?? Int32(names.count + 1)
        if Int(number) > names.count { names.append(name) }
        numberOfName[name] = number
        numberOfSymbol[symbol] = number
        return number
    }
}
