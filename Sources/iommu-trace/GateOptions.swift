import ArgumentParser
import Reporting

/// `--fail-if`
struct GateOptions: ParsableArguments {
    @Option(
        name: .customLong("fail-if"),
        help: ArgumentHelp(
            "Exit with 1 if any row meets this condition; may be given several times.",
            discussion:
                "A column, one of < <= > >= == !=, and a value with or without a unit: ns us ms s, K M G (bytes), %. "
                + "Words are compared with == and !=. What is not known meets nothing.",
            valueName: "condition"))
    var conditions: [String] = []

    var isEmpty: Bool { conditions.isEmpty }

    func makeGate() throws -> Gate {
        try Self.translatingErrors { Gate(try conditions.map { try Condition(parsing: $0) }) }
    }

    /// A condition that cannot be asked is a mistake on the command line.
    static func translatingErrors<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as ConditionError { throw UsageError(message: error.description) }
    }

    /// Says what was found, and ends with 1 if anything was.
    static func check(_ gate: Gate) throws {
        if let leftOut = gate.leftOut { Message.note(leftOut) }
        for doubt in gate.doubts { Message.note(doubt) }
        guard gate.count > 0 else {
            // What was not looked at did not pass.
            if gate.leftOut != nil, !gate.isEmpty { throw ExitStatus.refused }
            return
        }
        for finding in gate.findings { Message.error(finding) }
        if gate.count > gate.findings.count { Message.error("and \(gate.count - gate.findings.count) more") }
        throw ExitStatus.finding
    }
}
