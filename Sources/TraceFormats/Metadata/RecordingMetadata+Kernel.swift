/// What a kernel says of itself.
extension RecordingMetadata {
    /// `uname -a`, `uname -r`, `Linux version …` or what trace-cmd records.
    ///
    /// - Returns: whether there was a release in it.
    @discardableResult
    mutating func readKernel(_ line: String, source: String) -> Bool {
        let words = line.split(separator: " ")
        let release: Substring? =
            if words.count >= 3, words[0] == "Linux" {
                words[2]
            } else {
                words.first { $0.first?.isNumber == true }
            }
        guard let release, let version = Self.version(of: release) else { return false }
        if words.count > 1 { add(.kernel, line, source: source) }
        add(.kernelRelease, String(release), number: version, source: source)
        return true
    }

    /// 6.1.0-56-amd64: 6001
    private static func version(of release: Substring) -> Int64? {
        let parts = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int64(parts[0]), (0...999).contains(major),
            let minor = Int64(parts[1].prefix { $0.isASCII && $0.isNumber }), (0...999).contains(minor)
        else { return nil }
        return major * 1000 + minor
    }

    /// `/proc/cmdline`. Of several options that say the same the last one counts (model.md §2.7).
    mutating func readCommandLine(_ line: String, source: String) {
        add(.commandLine, line, source: source)
        var policy: String?
        var domain: String?
        for option in line.split(separator: " ") {
            let parts = option.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let isTrue = ["1", "y", "Y", "on", "yes", "true"].contains(parts[1])
            switch parts[0] {
            case "iommu.strict": policy = isTrue ? "strict" : "lazy"
            case "iommu.passthrough": domain = isTrue ? "identity" : "translated"
            case "iommu":
                for word in parts[1].split(separator: ",") {
                    if word == "pt" { domain = "identity" }
                    if word == "nopt" { domain = "translated" }
                }
            case "intel_iommu", "amd_iommu":
                for word in parts[1].split(separator: ",") {
                    if let meant = readDriverOption(parts[0], word, source: source) { policy = meant }
                }
            default: break
            }
        }
        if let policy { add(.bootPolicy, policy, source: source) }
        if let domain { add(.bootDomain, domain, source: source) }
    }

    /// - Returns: the policy that it stands for.
    private mutating func readDriverOption(
        _ driver: Substring, _ word: Substring, source: String
    ) -> String? {
        if driver == "intel_iommu" && word == "strict" || driver == "amd_iommu" && word == "fullflush" {
            add(
                .commandLineRemark, "\(driver)=\(word) is the deprecated spelling of iommu.strict=1", source: source)
            return "strict"
        }
        if word == "pt" {
            add(
                .commandLineRemark,
                "\(driver)=pt is no option: the kernel passes over it, and identity domains are asked for by iommu=pt",
                source: source)
        }
        return nil
    }

    /// A kernel configuration.
    mutating func readConfiguration(_ text: MetadataText, source: String, _ defaults: inout Defaults) -> Bool {
        var isOne = false
        text.forEachLine { line in
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].hasPrefix("CONFIG_") else { return }
            isOne = true
            switch (parts[0], parts[1]) {
            case ("CONFIG_HZ", let hz): readHz(hz, source: source)
            case ("CONFIG_IOMMU_DEFAULT_DMA_LAZY", "y"): defaults.policy = ("lazy", source)
            case ("CONFIG_IOMMU_DEFAULT_DMA_STRICT", "y"): defaults.policy = ("strict", source)
            case ("CONFIG_IOMMU_DEFAULT_PASSTHROUGH", "y"): defaults.domain = ("identity", source)
            default: break
            }
        }
        return isOne
    }

    /// A number of ticks per second.
    mutating func readHz(_ text: some StringProtocol, source: String) {
        guard let hz = Int64(text), (1...10_000).contains(hz) else {
            add(.notRead, "\(source): HZ is 1 to 10000, not \(text.prefix(32))", source: source)
            return
        }
        add(.hz, String(hz), number: hz, source: source)
    }

    /// `local global [mono] boot`, or a word.
    @discardableResult
    mutating func readClock(_ line: String, source: String) -> Bool {
        let words = line.split(separator: " ")
        let chosen = words.first { $0.hasPrefix("[") && $0.hasSuffix("]") && $0.utf8.count > 2 }
        guard let chosen = chosen?.dropFirst().dropLast() ?? (words.count == 1 ? words.first : nil),
            chosen.utf8.count <= 32, chosen.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" })
        else { return false }
        add(.clock, String(chosen), source: source)
        return true
    }

    // MARK: - The kernel log

    /// Lines of `dmesg`, all or those about the IOMMU.
    mutating func readKernelLog(_ text: MetadataText, source: String) -> Bool {
        var isOne = false
        text.forEachLine { line in
            guard line.hasPrefix("["), let end = line.firstIndex(of: "]") else { return }
            isOne = true
            var message = line[line.index(after: end)...]
            // The task that printed it, with CONFIG_PRINTK_CALLER.
            if message.hasPrefix("["), let end = message.firstIndex(of: "]") {
                message = message[message.index(after: end)...]
            }
            readMessage(String(message.drop { $0 == " " }), source: source)
        }
        return isOne
    }

    private mutating func readMessage(_ message: String, source: String) {
        func after(_ prefix: String) -> String? {
            message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : nil
        }
        if message.hasPrefix("Linux version ") {
            readKernel(message, source: source)
        } else if let line = after("Kernel command line: ") {
            readCommandLine(line, source: source)
        } else if let policy = after("iommu: DMA domain TLB invalidation policy: ") {
            for word in ["lazy", "strict"] where policy.hasPrefix(word) { add(.bootPolicy, word, source: source) }
        } else if let kind = after("iommu: Default domain type: ")?.split(separator: " ").first {
            if kind == "Translated" { add(.bootDomain, "translated", source: source) }
            if kind == "Passthrough" { add(.bootDomain, "identity", source: source) }
        } else if message.hasSuffix("IOMMU batching disallowed due to virtualization")
            || message.hasPrefix("AMD-Vi: Using strict mode due to virtualization")
        {
            add(.strictBecause, message, source: source)
        } else if let line = after("tsc: ") {
            readTSC(line, source: source)
        } else if let line = after("DMAR: ") {
            readUnit(line, source: source)
        }
    }

    /// `Detected 2593.904 MHz processor`, `Refined TSC clocksource calibration: 2593.906 MHz`
    private mutating func readTSC(_ message: String, source: String) {
        guard message.hasPrefix("Detected ") || message.hasPrefix("Refined TSC ") else { return }
        let words = message.split(separator: " ")
        guard let unit = words.firstIndex(of: "MHz"), unit > 0 else { return }
        let parts = words[unit - 1].split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, let mega = Int64(parts[0]), (1...100_000).contains(mega) else { return }
        let digits = parts.count == 2 ? parts[1].prefix(6) : ""
        guard let fraction = Int64(digits.isEmpty ? "0" : digits), fraction >= 0 else { return }
        let scale = digits.reduce(Int64(1_000_000)) { scale, _ in scale / 10 }
        let rate = mega * 1_000_000 + fraction * scale
        // The refined one comes later and is what the kernel goes by.
        if message.hasPrefix("Refined") { forget(.tscHz, source: source) }
        add(.tscHz, "\(words[unit - 1]) MHz", number: rate, source: source)
    }

    /// `dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c22260206 ecap f42`
    private mutating func readUnit(_ message: String, source: String) {
        let words = message.split(separator: " ")
        guard let unit = words.first, unit.hasSuffix(":"), message.contains("reg_base_addr") else { return }
        for (word, next) in zip(words, words.dropFirst()) {
            guard let key = [Key.cap, .ecap].first(where: { $0.rawValue == word }) else { continue }
            readRegister(key, unit: String(unit.dropLast()), next, source: source)
        }
    }

    /// A capability register of a unit.
    @discardableResult
    mutating func readRegister(
        _ key: Key, unit: String, _ text: some StringProtocol, source: String
    ) -> Bool {
        let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : String(text)
        guard let value = UInt64(digits, radix: 16) else { return false }
        add(key, "0x" + String(value, radix: 16), number: Int64(bitPattern: value), unit: unit, source: source)
        // CAP.CM: an emulated IOMMU that caches absent translations; drivers then defer nothing.
        if key == .cap, unit.hasPrefix("dmar"), value & 1 << 7 != 0 {
            add(.strictBecause, "\(unit) has caching mode: it is emulated, and no flush is deferred", source: source)
        }
        return true
    }
}
